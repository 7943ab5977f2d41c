"""Notifications as plain mails: one for all that is due to an owner."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

from pixcrawler.config import MailServer, mail_address
from pixcrawler.db.outbox import Owner, Parcel
from pixcrawler.errors import NotDelivered

ANSWER_SECONDS = 10.0  # of the server, each
CONVERSATION_SECONDS = 50.0  # less than the sender's lease
PERMANENT = 500  # answers from here on mean: do not try again
REASON_LENGTH = 200  # characters of a server's words
FOOTER = "-- \nYour notification settings say which of these mails you get, and when."


class Mail:
    """Hands mails to a server."""

    def __init__(self, server: MailServer, sender: str, site_url: str | None) -> None:
        self._server = server
        self._sender = mail_address(sender)
        self._site_url = site_url

    async def deliver(self, parcel: Parcel, owner: Owner) -> None:
        """Sends the parcel to its owner's address as one mail. Raises `NotDelivered`."""
        recipient = _recipient(owner)
        mail = compose(parcel, owner, self._sender, recipient, self._site_url)
        try:
            async with asyncio.timeout(CONVERSATION_SECONDS):
                await asyncio.to_thread(self._hand_over, mail, recipient.addr_spec)
        except (smtplib.SMTPException, OSError) as error:
            reason, for_good = _reason(error, recipient.addr_spec)
            raise NotDelivered(f"{self._server.host}: {reason}", for_good=for_good) from None

    async def close(self) -> None:
        """There is nothing to close: each mail has a connection of its own."""

    def _hand_over(self, mail: EmailMessage, recipient: str) -> None:
        with self._connection() as smtp:
            smtp.send_message(mail, self._sender.addr_spec, [recipient])

    @contextmanager
    def _connection(self) -> Iterator[smtplib.SMTP]:
        """A connection that is encrypted and logged in as far as the server is able to, and as it has to be."""
        server, tls = self._server, _tls(self._server)
        # Our own name costs a look-up that may take long, and a server that knows us by password does not care.
        name = self._sender.domain
        smtp: smtplib.SMTP = (
            smtplib.SMTP_SSL(server.host, server.port, local_hostname=name, timeout=ANSWER_SECONDS, context=tls)
            if server.tls
            else smtplib.SMTP(server.host, server.port, local_hostname=name, timeout=ANSWER_SECONDS)
        )
        try:
            smtp.ehlo_or_helo_if_needed()
            if not server.tls and smtp.has_extn("starttls"):
                smtp.starttls(context=tls)
            elif not server.tls and server.username and not server.is_here:
                raise smtplib.SMTPNotSupportedError("offers no encryption, and we have a password to protect")
            if server.username:
                smtp.login(server.username, server.password.get_secret_value())
            yield smtp
            with suppress(smtplib.SMTPException, OSError):  # it has the mail, whatever it says now
                smtp.quit()
        finally:
            smtp.close()


def _tls(server: MailServer) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if server.is_here:  # its certificate is seldom good for anything, and nobody is in between
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _recipient(owner: Owner) -> Address:
    if owner.email is None:
        raise NotDelivered("its owner has no profile any more", for_good=True)
    try:
        return Address(addr_spec=owner.email)
    except (ValueError, IndexError, MessageError):
        raise NotDelivered("its owner's address is none", for_good=True) from None


def compose(parcel: Parcel, owner: Owner, sender: Address, recipient: Address, site_url: str | None) -> EmailMessage:
    """The mail: the notification, or a list of all of them."""
    messages = [row.message for row in parcel.rows]
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = recipient
    mail["Subject"] = _line(messages[0]["title"]) if len(messages) == 1 else f"{len(messages)} notifications"
    mail["Date"] = owner.now
    mail["Message-ID"] = f"<{parcel.key}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # so that nobody's absence is reported to us
    entries = [_entry(message, site_url) for message in messages]
    mail.set_content("\n\n".join([*entries, FOOTER]) + "\n", cte="quoted-printable")
    return mail


def _entry(message: dict[str, Any], site_url: str | None) -> str:
    text = "\n".join(map(_line, message["message"].splitlines()))
    return "\n".join(filter(None, [_line(message["title"]), text, _link(message.get("action_url"), site_url)]))


def _link(action_url: str | None, site_url: str | None) -> str | None:
    """The address of an action; None for a path of a site that we do not know."""
    if not action_url or "://" in action_url:
        return action_url
    return f"{site_url.rstrip('/')}/{action_url.lstrip('/')}" if site_url else None


def _line(text: str) -> str:
    """`text` in one line, without control characters: titles and names are what their owners want them to be."""
    return "".join(character for character in " ".join(text.split()) if unicodedata.category(character) != "Cc")


def _reason(error: smtplib.SMTPException | OSError, recipient: str) -> tuple[str, bool]:
    """What to tell of an error, without the address, which is nobody's business; and whether it stays so."""
    if isinstance(error, TimeoutError):
        return "did not answer in time", False
    words: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        (code, words), theirs = error.recipients[recipient], True
    elif isinstance(error, smtplib.SMTPResponseException):
        code, words, theirs = error.smtp_code, error.smtp_error, isinstance(error, smtplib.SMTPDataError)
    else:
        return str(error) or type(error).__name__, False
    answer = words.decode(errors="replace") if isinstance(words, bytes) else words
    told = _line(f"{code} {answer}".replace(recipient, "…"))[:REASON_LENGTH]
    return told, theirs and code >= PERMANENT  # what is wrong with us, the operator will mend
