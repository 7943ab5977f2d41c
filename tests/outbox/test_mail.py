"""Mails as their servers and readers get them: encrypted, whole, to one address, whatever titles and names say."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outbox.receivers import FAR, Mailbox, Post

from pixcrawler.config import mail_address
from pixcrawler.db.outbox import Parcel
from pixcrawler.jobs import Channel
from pixcrawler.outbox import mail as module

Start = Callable[..., Mailbox]
HEADERS = {
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"),
    *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
}


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server at 127.0.0.1 by a name that does not say so."""
    resolve = socket.getaddrinfo

    def resolved(host: Any, *arguments: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host == FAR else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def use(settings_env: Any, url: str, **more: str) -> None:
    settings_env(PIXCRAWLER_SMTP_URL=url, PIXCRAWLER_MAIL_FROM="crawler@pix.example", **more)


def sent(post: Post) -> str:
    """Posts one notification, sends it, and tells its state."""
    post.message(post.owner())
    post.send()
    return str(post.rows()[0][0])


def text(mail: EmailMessage) -> str:
    return str(mail.get_content()).replace("\r\n", "\n")


def test_a_notification_is_a_mail(post: Post, mailbox: Mailbox) -> None:
    owner = post.owner("ann@people.example")
    post.message(owner, title="Fertig: „Kätzchen“", message="all 3\nare ready", action_url="/dashboard/projects/1")
    post.send()
    [mail] = mailbox.mails
    assert mailbox.recipients == [["ann@people.example"]]
    assert (mail["From"], mail["To"]) == ("PixCrawler <crawler@pix.example>", "ann@people.example")
    assert mail["Subject"] == "Fertig: „Kätzchen“"
    assert mail["Message-ID"].endswith("@pix.example>")
    assert "Fertig: „Kätzchen“\nall 3\nare ready\nhttps://pix.example/dashboard/projects/1\n" in text(mail)
    assert post.rows() == [("sent", 1, None)]


def test_five_notifications_are_one_mail(post: Post, mailbox: Mailbox) -> None:
    owner, other = post.owner(), post.owner("bob@people.example")
    for number in range(5):
        post.message(owner, title=f"Job {number}", message=f"has ended with {number}")
    post.message(other)
    post.send()
    digest, single = sorted(mailbox.mails, key=lambda mail: str(mail["To"]))
    assert digest["Subject"] == "5 notifications"
    places = [text(digest).index(f"Job {number}\nhas ended with {number}\n") for number in range(5)]
    assert places == sorted(places)
    assert single["Subject"] == "Crawl Job Completed"
    assert post.rows() == [("sent", 1, None)] * 6


def test_without_the_address_of_the_site_there_are_no_links(post: Post, mail_server: Start, settings_env: Any) -> None:
    mailbox = mail_server()
    use(settings_env, f"smtp://127.0.0.1:{mailbox.port}")
    post.message(post.owner(), action_url="/dashboard")
    post.message(post.owner("bob@people.example"), action_url="https://elsewhere.example/x")
    post.send()
    assert not any("/dashboard" in text(mail) for mail in mailbox.mails)
    assert sorted("https://elsewhere.example/x" in text(mail) for mail in mailbox.mails) == [False, True]


def test_what_the_server_can_encrypt_is_encrypted(post: Post, mail_server: Start, settings_env: Any, tls: Any) -> None:
    mailbox = mail_server(tls_context=tls)
    use(settings_env, f"smtp://127.0.0.1:{mailbox.port}")
    assert sent(post) == "sent"
    assert mailbox.encrypted == [True]


def test_a_password_goes_over_tls(
    post: Post, mail_server: Start, settings_env: Any, tls: Any, far: None, certificate: Path
) -> None:
    def authenticate(*arguments: Any) -> Any:
        return mailbox.authenticate(*arguments)

    mailbox = mail_server(tls_context=tls, authenticator=authenticate, auth_required=True)
    use(settings_env, f"smtp://me%40here:p%40ss%2Fword@{FAR}:{mailbox.port}", SSL_CERT_FILE=str(certificate))
    assert sent(post) == "sent"
    assert mailbox.encrypted == [True]
    assert mailbox.logins == [("me@here", "p@ss/word")]


def test_tls_from_the_first_byte_on(
    post: Post, mail_server: Start, settings_env: Any, tls: Any, far: None, certificate: Path
) -> None:
    mailbox = mail_server(ssl_context=tls)
    use(settings_env, f"smtps://{FAR}:{mailbox.port}", SSL_CERT_FILE=str(certificate))
    assert sent(post) == "sent"


def test_no_password_without_tls(post: Post, mail_server: Start, settings_env: Any, far: None) -> None:
    def authenticate(*arguments: Any) -> Any:
        return mailbox.authenticate(*arguments)

    mailbox = mail_server(authenticator=authenticate, auth_require_tls=False)
    use(settings_env, f"smtp://me:p%40ss%2Fword@{FAR}:{mailbox.port}")
    assert sent(post) == "pending"
    assert mailbox.logins == mailbox.mails == []
    assert "no encryption" in post.rows()[0][2]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_nobody_vouches_for(
    post: Post, mail_server: Start, settings_env: Any, tls: Any, far: None, scheme: str
) -> None:
    mailbox = mail_server(**{"tls_context" if scheme == "smtp" else "ssl_context": tls})
    use(settings_env, f"{scheme}://{FAR}:{mailbox.port}")
    assert sent(post) == "pending"
    assert "certificate verify failed" in post.rows()[0][2]
    assert mailbox.mails == []


def test_a_wrong_password_is_not_told(
    post: Post, mail_server: Start, settings_env: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def authenticate(*arguments: Any) -> Any:
        return mailbox.authenticate(*arguments)

    mailbox = mail_server(authenticator=authenticate, auth_require_tls=False)
    use(settings_env, f"smtp://me:open-sesame@127.0.0.1:{mailbox.port}")
    caplog.set_level(logging.DEBUG)
    assert sent(post) == "pending"
    [(_, _, reason)] = post.rows()
    assert reason.startswith("127.0.0.1: 535 ")
    assert reason in caplog.text
    assert "sesame" not in caplog.text + reason
    assert "ann@people" not in caplog.text


@pytest.mark.parametrize(("answer", "state"), [("550 no such mailbox", "failed"), ("450 mailbox busy", "pending")])
@pytest.mark.parametrize("question", ["to_recipient", "to_mail"])
def test_a_refusal_counts_as_it_is_meant(post: Post, mailbox: Mailbox, question: str, answer: str, state: str) -> None:
    setattr(mailbox, question, answer)
    assert sent(post) == state
    assert answer in post.rows()[0][2]


@pytest.mark.parametrize("farewell", ["421 out of order", ""])
def test_a_mail_that_was_taken_is_sent_whatever_follows(post: Post, mailbox: Mailbox, farewell: str) -> None:
    mailbox.to_farewell = farewell
    assert sent(post) == "sent"


def test_a_server_that_is_not_there(post: Post, mailbox: Mailbox, settings_env: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        use(settings_env, f"smtp://127.0.0.1:{closed.getsockname()[1]}")
        assert sent(post) == "pending"
    assert "refused" in post.rows()[0][2]


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("limit", ["ANSWER_SECONDS", "CONVERSATION_SECONDS"])
def test_a_server_that_says_nothing(
    post: Post, settings_env: Any, mute: int, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(module, limit, 0.1)
    use(settings_env, f"smtp://127.0.0.1:{mute}")
    assert sent(post) == "pending"
    assert "time" in post.rows()[0][2]


NASTY = (
    "Done\r\nBcc: victim@far.example\r\n\r\n<script>\n.\r\nRCPT TO:<victim@far.example>"
    "\x1b[2J\u2028Cc: victim@far.example\u0085X-A: 1"
)


def test_titles_and_names_stay_in_their_place(post: Post, mailbox: Mailbox) -> None:
    owner = post.owner()
    post.message(owner, title=NASTY, message=f"the job “{NASTY}” is ready\n.\nQUIT")
    post.send()
    post.message(owner, title="after it")
    post.send()
    mail, after = mailbox.mails
    assert mailbox.recipients == [["ann@people.example"]] * 2
    assert set(mail.keys()) == HEADERS
    assert "Bcc: victim@far.example" in mail["Subject"]
    assert "\n.\nQUIT\n" in text(mail)
    assert "\x1b" not in text(mail) + mail["Subject"]
    assert after["Subject"] == "after it"


@given(title=st.text(), message=st.text(), name=st.text())
def test_no_text_makes_a_header(title: str, message: str, name: str) -> None:
    row = SimpleNamespace(id=1, created_at=datetime.now(UTC), message={"title": title, "message": message})
    parcel = Parcel(uuid4(), Channel.EMAIL, 1, [row])
    owner = SimpleNamespace(now=datetime.now(UTC))
    sender = mail_address("crawler@pix.example")
    mail = module.compose(parcel, owner, sender, mail_address("ann@people.example"), None)  # type: ignore[arg-type]
    lines = mail.as_bytes().partition(b"\n\n")[0].split(b"\n")
    assert {line.partition(b":")[0].decode() for line in lines if not line.startswith(b" ")} == HEADERS


@pytest.mark.parametrize(
    "address",
    [
        "ann@people.example, victim@far.example",
        "ann@people.example\nBcc: victim@far.example",
        "Ann <ann@people.example>",
        "ann@people.example> SIZE=1\r\nRCPT TO:<victim@far.example",
        "änn@people.example",
        "everybody",
        "",
        "@",
    ],
)
def test_an_address_is_one_address(post: Post, mailbox: Mailbox, address: str) -> None:
    post.message(post.owner(address))
    post.send()
    assert mailbox.mails == []
    [(state, _, reason)] = post.rows()
    assert (state, reason) == ("failed", "its owner's address is none")
