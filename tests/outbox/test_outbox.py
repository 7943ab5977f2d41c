"""The outbox: who gets what and when, once however many send, again when it failed, never for ever."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outbox.receivers import SECRET, Mailbox, Post, Receiver

from pixcrawler.config import config
from pixcrawler.db import engine
from pixcrawler.db.outbox import after_quiet_hours, next_digest
from pixcrawler.errors import NotDelivered, SchemaMismatch
from pixcrawler.jobs import Channel
from pixcrawler.outbox import FIRST_PAUSE, LONGEST_PAUSE, TRIES, Sender, open_carriers, pause_after, run
from pixcrawler.outbox.webhook import Webhook

ROOT = Path(__file__).parents[2]
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
CLOCKS = st.times()


# When


@given(MOMENTS, st.sampled_from(["realtime", "daily", "weekly", "whatever"]))
def test_a_digest_is_the_next_one(now: datetime, frequency: str) -> None:
    moment = next_digest(now, frequency)
    longest = {"realtime": timedelta(0), "weekly": timedelta(days=7)}.get(frequency, timedelta(days=1))
    assert now <= moment <= now + longest
    assert frequency == "realtime" or moment.timetz() == time(8, tzinfo=UTC)
    assert frequency != "weekly" or moment.weekday() == 0


@pytest.mark.parametrize(
    ("now", "daily", "weekly"),
    [
        ("2026-11-20 07:59:59", "2026-11-20", "2026-11-23"),  # a Friday
        ("2026-11-20 08:00:00", "2026-11-20", "2026-11-23"),
        ("2026-11-20 08:00:01", "2026-11-21", "2026-11-23"),
        ("2026-11-23 08:00:00", "2026-11-23", "2026-11-23"),
        ("2026-11-23 08:00:01", "2026-11-24", "2026-11-30"),
        ("2026-12-31 23:00:00", "2027-01-01", "2027-01-04"),
    ],
)
def test_digests_by_the_calendar(now: str, daily: str, weekly: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert next_digest(moment, "daily").date() == date.fromisoformat(daily)
    assert next_digest(moment, "weekly").date() == date.fromisoformat(weekly)


@given(MOMENTS, CLOCKS, CLOCKS)
def test_nothing_leaves_in_quiet_hours(now: datetime, start: time, end: time) -> None:
    moment = after_quiet_hours(now, start, end)
    assert now <= moment < now + timedelta(days=1)
    if start == end:
        assert moment == now
        return
    into = (datetime.combine(moment, moment.time()) - datetime.combine(moment, start)) % timedelta(days=1)
    length = (datetime.combine(moment, end) - datetime.combine(moment, start)) % timedelta(days=1)
    assert into >= length  # not within them
    assert moment in (now, datetime.combine(moment.date(), end, UTC))  # and not later than their end
    assert after_quiet_hours(moment, start, end) == moment


@given(MOMENTS, CLOCKS)
def test_half_of_quiet_hours_is_none(now: datetime, clock: time) -> None:
    assert after_quiet_hours(now, clock, None) == after_quiet_hours(now, None, clock) == now


@given(st.integers(1, 50))
def test_pauses_grow_and_have_an_end(tries: int) -> None:
    assert FIRST_PAUSE <= pause_after(tries) <= LONGEST_PAUSE
    assert tries > 6 or pause_after(tries) < pause_after(tries + 1)


# What is posted


@pytest.mark.parametrize(
    ("preferences", "expected"),
    [
        ({}, ["email"]),
        ({"push_enabled": True}, ["email", "webhook"]),
        ({"email_enabled": False}, []),
        ({"email_enabled": False, "push_enabled": True}, ["webhook"]),
        ({"digest_frequency": "never"}, []),
        ({"digest_frequency": "never", "push_enabled": True}, ["webhook"]),
    ],
)
def test_owners_get_what_they_want(post: Post, preferences: dict[str, Any], expected: list[str]) -> None:
    post.message(post.owner(**preferences))
    assert [channel for (channel,) in post.sql("SELECT channel FROM crawler.outbox ORDER BY 1")] == expected


def test_only_channels_that_are_set_up_are_used(post: Post) -> None:
    post.message(post.owner(push_enabled=True), Channel.WEBHOOK)
    assert post.sql("SELECT channel FROM crawler.outbox") == [("webhook",)]


def test_without_preferences_those_of_the_schema_apply(post: Post) -> None:
    owner = post.owner()
    post.sql("DELETE FROM public.notification_preferences WHERE user_id = %s", (owner,))
    post.message(owner)
    [(channel, due)] = post.sql("SELECT channel, not_before FROM crawler.outbox")
    assert channel == "email"
    assert due.astimezone(UTC).timetz() == time(8, tzinfo=UTC)


@pytest.mark.parametrize("frequency", ["daily", "weekly"])
def test_a_digest_waits_for_its_time(post: Post, mailbox: Mailbox, frequency: str) -> None:
    owner = post.owner(digest_frequency=frequency)
    for _ in range(5):
        post.message(owner, Channel.EMAIL)
    assert post.send() == 0
    post.wait_is_over()
    post.send()
    assert [mail["Subject"] for mail in mailbox.mails] == ["5 notifications"]


def hours(post: Post, *offsets: int) -> list[time]:
    """Times of day, in hours from now, by the database's clock."""
    return [post.sql("SELECT (now() AT TIME ZONE 'UTC' + %s * interval '1 hour')::time", (n,))[0][0] for n in offsets]


def test_quiet_hours_are_waited_for(post: Post, mailbox: Mailbox) -> None:
    start, end = hours(post, -1, 1)
    post.message(post.owner(quiet_hours_start=start, quiet_hours_end=end), Channel.EMAIL)
    assert post.send() == 0
    [(due,)] = post.sql("SELECT not_before FROM crawler.outbox")
    assert due.astimezone(UTC).time() == end


def test_quiet_hours_set_later_count_too_and_are_no_try(post: Post, mailbox: Mailbox) -> None:
    owner = post.owner()
    post.message(owner, Channel.EMAIL)
    start, end = hours(post, -1, 1)
    post.prefers(owner, quiet_hours_start=start, quiet_hours_end=end)
    post.send()
    assert mailbox.mails == []
    [(due,)] = post.sql("SELECT not_before FROM crawler.outbox")
    assert due.astimezone(UTC).time() == end
    assert post.rows() == [("pending", 0, None)]


def test_midnight_as_only_postgresql_writes_it(post: Post) -> None:
    post.message(post.owner(quiet_hours_start="00:00", quiet_hours_end="24:00"))
    assert len(post.rows()) == 1


def test_who_wants_none_any_more_gets_none(post: Post, mailbox: Mailbox) -> None:
    owner = post.owner()
    post.message(owner, Channel.EMAIL)
    post.prefers(owner, email_enabled=False)
    post.send()
    assert mailbox.mails == []
    assert post.rows() == [("failed", 0, "its owner wants none any more")]


def test_an_owner_who_is_gone_stops_nobody(post: Post, mailbox: Mailbox) -> None:
    gone, other = post.owner("gone@people.example"), post.owner("bob@people.example")
    post.message(gone, Channel.EMAIL)
    post.message(other, Channel.EMAIL)
    post.sql("DELETE FROM auth.users WHERE id = %s", (gone,))
    post.wait_is_over()
    post.send()
    assert mailbox.recipients == [["bob@people.example"]]
    assert [state for state, *_ in post.rows()] == ["failed", "sent"]


# How it is sent


def test_many_senders_send_everything_once(post: Post, mailbox: Mailbox, receiver: Receiver, settings_env: Any) -> None:
    settings_env(PIXCRAWLER_WEBHOOK_URL=receiver.url, PIXCRAWLER_WEBHOOK_SECRET=SECRET)
    owners = [post.owner(f"person{number}@people.example", push_enabled=True) for number in range(6)]
    for number in range(3):
        for owner in owners:
            post.message(owner, title=f"Job {number}")
    post.send(senders=4)
    assert sorted(to for [to] in mailbox.recipients) == [f"person{number}@people.example" for number in range(6)]
    assert {mail["Subject"] for mail in mailbox.mails} == {"3 notifications"}
    assert len({body["id"] for body in receiver.bodies}) == len(receiver.bodies) == 18
    assert post.rows() == [("sent", 1, None)] * 36


class Dies(BaseException):
    """What a kill looks like from within."""


def dies(post: Post, monkeypatch: pytest.MonkeyPatch, *, after_sending: bool) -> None:
    """A sender that dies between taking a parcel and booking it."""
    [(_, carrier)] = open_carriers(config()).items()
    deliver = type(carrier).deliver

    async def death(self: Any, *given: Any) -> None:
        if after_sending:
            await deliver(self, *given)
        raise Dies

    with monkeypatch.context() as patch:
        patch.setattr(type(carrier), "deliver", death)
        with pytest.raises(Dies):
            post.send()


@pytest.mark.parametrize("after_sending", [False, True])
def test_a_dead_sender_is_followed_when_its_lease_is_over(
    post: Post, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, after_sending: bool
) -> None:
    owner = post.owner()
    post.message(owner, Channel.EMAIL, title="first")
    dies(post, monkeypatch, after_sending=after_sending)
    post.message(owner, Channel.EMAIL, title="second")
    post.send()
    assert [mail["Subject"] for mail in mailbox.mails] == ["first"] * after_sending + ["second"]
    post.wait_is_over()
    post.send()
    assert [state for state, *_ in post.rows()] == ["sent", "sent"]
    # Who got it twice can tell: it is the same mail, although another one came in between.
    firsts = [mail["Message-ID"] for mail in mailbox.mails if mail["Subject"] == "first"]
    assert (len(firsts), len(set(firsts))) == (1 + after_sending, 1)


def test_a_parcel_keeps_its_key_and_contents_at_every_try(post: Post, mailbox: Mailbox) -> None:
    owner = post.owner()
    mailbox.to_mail = "451 later"
    for number in range(2):
        post.message(owner, Channel.EMAIL, title=f"Job {number}")
        post.send()
        post.wait_is_over()
    mailbox.to_mail = "250 taken"
    post.message(owner, Channel.EMAIL, title="Job 2")
    post.send()
    assert sorted(mail["Subject"] for mail in mailbox.mails) == ["Job 0", "Job 1", "Job 2"]


def test_a_receiver_that_stays_away_is_given_up(post: Post, hook: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    hook.answers = [503] * (TRIES + 1)
    post.message(post.owner(push_enabled=True), Channel.WEBHOOK)
    for number in range(TRIES):
        assert post.rows()[0][:2] == ("pending", number)
        post.wait_is_over()
        assert post.send() == 1
    assert post.rows() == [("failed", TRIES, "127.0.0.1 answered 503")]
    assert post.sql("SELECT ended_at IS NOT NULL FROM crawler.outbox") == [(True,)]
    assert "given up" in caplog.text
    post.wait_is_over()
    assert post.send() == 0


def test_a_parcel_that_kills_its_senders_is_given_up(
    post: Post, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.message(post.owner(push_enabled=True), Channel.WEBHOOK)
    for _ in range(TRIES):
        dies(post, monkeypatch, after_sending=False)
        post.wait_is_over()
    post.send()
    assert hook.requests == []
    assert [row[0] for row in post.rows()] == ["failed"]


@pytest.mark.parametrize(("answer", "row"), [(200, ("sent", 2, None)), (500, ("pending", 2, "127.0.0.1 answered 500"))])
def test_who_lost_its_lease_undoes_nothing(
    post: Post, hook: Receiver, monkeypatch: pytest.MonkeyPatch, answer: int, row: tuple[Any, ...]
) -> None:
    hook.answers = [answer]
    post.message(post.owner(push_enabled=True), Channel.WEBHOOK)
    deliver = Webhook.deliver

    async def sleeps_while_another_sends(*_: Any) -> None:
        monkeypatch.setattr(Webhook, "deliver", deliver)
        post.wait_is_over()
        await asyncio.to_thread(post.send)
        raise NotDelivered("the network was away")

    monkeypatch.setattr(Webhook, "deliver", sleeps_while_another_sends)
    post.send()
    assert post.rows() == [row]


def test_the_next_try_is_later(post: Post, hook: Receiver) -> None:
    hook.answers = [500] * 2
    post.message(post.owner(push_enabled=True), Channel.WEBHOOK)
    pauses = []
    for _ in range(2):
        post.wait_is_over()
        post.send()
        assert post.send() == 0
        pauses.append(post.sql("SELECT extract(epoch FROM not_before - now()) FROM crawler.outbox")[0][0])
    assert FIRST_PAUSE / 2 < pauses[0] < pauses[1]


def test_what_cannot_be_sent_keeps_nobody_back(post: Post, mailbox: Mailbox) -> None:
    post.message(post.owner(), Channel.EMAIL, title=None)  # nobody posts that
    post.message(post.owner("bob@people.example"), Channel.EMAIL)
    post.send()
    assert mailbox.recipients == [["bob@people.example"]]
    assert [row[0] for row in post.rows()] == ["pending", "sent"]


def test_one_channel_does_not_wait_for_the_other(
    post: Post, mailbox: Mailbox, receiver: Receiver, settings_env: Any
) -> None:
    settings_env(PIXCRAWLER_WEBHOOK_URL=receiver.url, PIXCRAWLER_WEBHOOK_SECRET=SECRET)
    receiver.hangs = True
    for number in range(3):
        post.message(post.owner(f"person{number}@people.example", push_enabled=True))

    async def serve() -> None:
        stop = asyncio.Event()
        serving = asyncio.create_task(run(post.url, config(), stop))
        while len(mailbox.mails) < 3:
            assert not serving.done()
            await asyncio.sleep(0.02)
        assert len(receiver.requests) <= 1
        stop.set()
        receiver.ended.set()
        await serving

    asyncio.run(serve())


# As a service


def test_without_channels_there_is_nothing_to_run(settings_env: Any) -> None:
    settings_env()
    asyncio.run(run("postgresql://nowhere.invalid/x", config(), asyncio.Event()))


def test_a_database_it_cannot_serve_is_refused(post: Post, mailbox: Mailbox) -> None:
    post.sql("ALTER TABLE crawler.outbox DROP COLUMN tries")
    with pytest.raises(SchemaMismatch, match="tries"):
        asyncio.run(run(post.url, config(), asyncio.Event()))


@pytest.fixture
def dispatcher(database_url: str, tmp_path: Path) -> Any:
    """`dispatcher(PIXCRAWLER_SMTP_URL=…)`: a process of its own, and its log at the end."""

    def start(**variables: str) -> subprocess.Popen[str]:
        ours = {"DATABASE_URL": database_url, "PIXCRAWLER_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "pixcrawler.cli", "dispatcher"]
        env = {**os.environ, **ours, "LOG_LEVEL": "DEBUG", **variables}
        return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)

    return start


def test_a_dispatcher_sends_and_tells_no_secret(
    post: Post, mail_server: Callable[..., Mailbox], receiver: Receiver, dispatcher: Any
) -> None:
    def authenticate(*arguments: Any) -> Any:
        return mailbox.authenticate(*arguments)

    mailbox = mail_server(authenticator=authenticate, auth_require_tls=False)
    post.message(post.owner("ann@people.example", push_enabled=True))
    receiver.answers = [500]  # a failure is logged
    variables = {
        "PIXCRAWLER_SMTP_URL": f"smtp://me:p%40ss%2Fword@127.0.0.1:{mailbox.port}",
        "PIXCRAWLER_MAIL_FROM": "crawler@pix.example",
        "PIXCRAWLER_WEBHOOK_URL": receiver.url,
        "PIXCRAWLER_WEBHOOK_SECRET": SECRET,
    }
    with dispatcher(**variables) as process:
        try:
            while not (mailbox.mails and receiver.requests):
                assert process.poll() is None
        finally:
            process.terminate()
            log = process.stderr.read()
    assert process.returncode == 0, log
    assert "sending notifications by email, webhook" in log
    assert "answered 500" in log
    secrets = ("p@ss/word", "p%40ss", SECRET, SECRET.removeprefix("whsec_"), "ann@people.example")
    assert not [secret for secret in secrets if secret in log]


def test_a_dispatcher_with_a_mail_server_refuses_a_database_as_one_without(
    post: Post, mailbox: Mailbox, dispatcher: Any
) -> None:
    post.sql("ALTER TABLE public.images DROP COLUMN hash")
    with dispatcher(LOG_LEVEL="INFO") as process:
        said = process.stderr.read()
    assert process.returncode == 2
    assert said.splitlines()[-1] == "pixcrawler: this database cannot be served: public.images.hash: missing"
    assert "Traceback" not in said


def test_a_sender_holds_no_connection_while_it_speaks(post: Post, hook: Receiver) -> None:
    hook.hangs = True
    post.message(post.owner(push_enabled=True), Channel.WEBHOOK)

    async def look() -> list[tuple[Any, ...]]:
        database = engine.create(post.url, application_name="looked at", pool_size=1)
        [(channel, carrier)] = open_carriers(config()).items()
        sending = asyncio.create_task(Sender(database, channel, carrier).step())
        await asyncio.to_thread(hook.asked.wait)
        states = post.sql("SELECT state FROM pg_stat_activity WHERE application_name = 'looked at'")
        hook.ended.set()
        await sending
        await carrier.close()
        await database.dispose()
        return states

    assert asyncio.run(look()) == [("idle",)]


def test_nothing_is_logged_of_what_is_told(post: Post, mailbox: Mailbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    mailbox.to_recipient = "450 <ann@people.example> is busy"
    post.message(post.owner("ann@people.example"), Channel.EMAIL, title="a private matter")
    post.send()
    assert "450 <…> is busy" in caplog.text
    assert "private matter" not in caplog.text
    assert "ann@people.example" not in caplog.text
