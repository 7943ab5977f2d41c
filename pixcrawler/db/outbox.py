"""Statements on `crawler.outbox`: notifications on their way to mailboxes and webhooks, and when they may go."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pixcrawler.db import locks
from pixcrawler.db.crawler import outbox
from pixcrawler.jobs import Channel, MessageState

DIGEST_TIME = time(8, tzinfo=UTC)
MONDAY = 0
MAIL_MESSAGES = 100  # in one digest, which somebody is to read; more follow in the next

# Without preferences, those of the front end's schema apply. Adding nothing turns 24:00, which only PostgreSQL
# knows, into 00:00.
OWNER = text("""
    SELECT now() AS now, profiles.email,
           coalesce(preferences.email_enabled, true) AS email_enabled,
           coalesce(preferences.push_enabled, false) AS push_enabled,
           coalesce(preferences.digest_frequency, 'daily') AS digest_frequency,
           preferences.quiet_hours_start + interval '0' AS quiet_hours_start,
           preferences.quiet_hours_end + interval '0' AS quiet_hours_end
    FROM (SELECT CAST(:owner AS uuid) AS id) AS owner
    LEFT JOIN public.profiles ON profiles.id = owner.id
    LEFT JOIN public.notification_preferences AS preferences ON preferences.user_id = owner.id
""")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who is told, and how they wish to be."""

    now: datetime  # by the database's clock
    email: str | None  # None: there is no such profile any more
    email_enabled: bool
    push_enabled: bool
    digest_frequency: str  # realtime, daily, weekly or never
    quiet_hours_start: time | None  # UTC
    quiet_hours_end: time | None

    def wants(self, channel: Channel) -> bool:
        """Whether anything is to be sent that way."""
        if channel is Channel.WEBHOOK:
            return self.push_enabled
        return self.email_enabled and self.digest_frequency != "never"

    def first_try(self, channel: Channel) -> datetime:
        """When a message of this moment may be sent."""
        frequency = "realtime" if channel is Channel.WEBHOOK else self.digest_frequency
        return self.undisturbed(next_digest(self.now, frequency))

    def undisturbed(self, moment: datetime) -> datetime:
        """`moment`, or the end of the quiet hours it falls into."""
        return after_quiet_hours(moment, self.quiet_hours_start, self.quiet_hours_end)


@dataclass(frozen=True, slots=True)
class Parcel:
    """Messages that are sent as one: mails of one owner, or a single message for the webhook."""

    owner: UUID
    channel: Channel
    tries: int  # including the one that is due
    rows: Sequence[Any]  # id, message, created_at of each, oldest first

    @property
    def ids(self) -> list[int]:
        return [row.id for row in self.rows]

    @property
    def key(self) -> str:
        """The same at every try and nowhere else: by it receivers recognise what they have got already."""
        facts = [self.owner.hex, self.channel, *(f"{row.id} {row.created_at.timestamp()}" for row in self.rows)]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


def next_digest(now: datetime, frequency: str) -> datetime:
    """When the next digest leaves: at 08:00 UTC, of a weekly one on Monday; `now` for `realtime`."""
    if frequency == "realtime":
        return now
    today = now.astimezone(UTC)
    moment = datetime.combine(today.date(), DIGEST_TIME)
    days = 1 if moment < today else 0
    if frequency == "weekly":
        days += (MONDAY - (moment.weekday() + days)) % 7
    return moment + timedelta(days=days)


def after_quiet_hours(moment: datetime, start: time | None, end: time | None) -> datetime:
    """`moment`, or the end of the quiet hours (UTC, over midnight if they end before they start) it falls into."""
    if start is None or end is None or start == end:
        return moment
    moment = moment.astimezone(UTC)
    clock = moment.time()
    quiet = start <= clock < end if start < end else clock >= start or clock < end
    if not quiet:
        return moment
    day = moment.date() + timedelta(days=clock >= end)
    return datetime.combine(day, end, UTC)


async def post(
    connection: AsyncConnection, *, owner: UUID, channels: Collection[Channel], message: dict[str, Any]
) -> None:
    """Puts a notification into the outbox, once for each of `channels` that its owner wants.

    `message` is JSON: type, title, message; category, action_url, metadata, id if there are any.
    """
    if not channels:
        return
    told = await _owner(connection, owner)
    rows = [
        {"owner": owner, "channel": channel, "message": message, "not_before": told.first_try(channel)}
        for channel in sorted(channels)
        if told.wants(channel)
    ]
    if rows:
        await connection.execute(insert(outbox), rows)


async def _owner(connection: AsyncConnection, owner: UUID) -> Owner:
    return Owner(**(await connection.execute(OWNER, {"owner": owner})).mappings().one())


async def next_due(connection: AsyncConnection, channel: Channel) -> tuple[Parcel, Owner] | None:
    """What is to be sent next, and to whom; None: nothing now. Nobody else gets it before the transaction has ended.

    All that is due to an owner by mail is one parcel. What was tried together stays together: only so its key lasts.
    """
    await locks.take(connection, f"outbox:{channel}")
    columns = outbox.c["id", "owner", "message", "created_at", "tries", "not_before"]
    due = and_(outbox.c.channel == channel, outbox.c.state == MessageState.PENDING, outbox.c.not_before <= func.now())
    earliest = select(*columns).where(due).order_by(outbox.c.not_before, outbox.c.id).limit(1)
    first = (await connection.execute(earliest)).one_or_none()
    if first is None:
        return None
    rows: Sequence[Any] = [first]
    if channel is Channel.EMAIL:
        together = select(*columns).where(due, _goes_with(first)).order_by(outbox.c.id).limit(MAIL_MESSAGES)
        rows = (await connection.execute(together)).all()
    return Parcel(first.owner, channel, first.tries + 1, rows), await _owner(connection, first.owner)


def _goes_with(first: Any) -> ColumnElement[bool]:
    same = and_(outbox.c.owner == first.owner, outbox.c.tries == first.tries)
    return same if first.tries == 0 else and_(same, outbox.c.not_before == first.not_before)


async def lease(connection: AsyncConnection, parcel: Parcel, seconds: float) -> None:
    """Counts the try. Should its sender die, the parcel is due again after `seconds`."""
    values = {"tries": parcel.tries, "not_before": func.now() + timedelta(seconds=seconds)}
    await connection.execute(update(outbox).where(outbox.c.id.in_(parcel.ids)).values(values))


async def postpone(connection: AsyncConnection, parcel: Parcel, moment: datetime) -> None:
    """Lets a parcel that is due, and not leased, wait until `moment`."""
    await connection.execute(update(outbox).where(outbox.c.id.in_(parcel.ids)).values(not_before=moment))


async def sent(connection: AsyncConnection, parcel: Parcel) -> None:
    """Books that the receiver has it, whatever has become of the lease meanwhile."""
    values = {"state": MessageState.SENT, "reason": None, "ended_at": func.now()}
    await connection.execute(update(outbox).where(outbox.c.id.in_(parcel.ids)).values(values))


async def not_sent(connection: AsyncConnection, parcel: Parcel, reason: str, again_after: float) -> None:
    """Books a try in vain; the next one is due in `again_after` seconds."""
    values = {"reason": reason, "not_before": func.now() + timedelta(seconds=again_after)}
    await connection.execute(update(outbox).where(_ours(parcel)).values(values))


async def give_up(connection: AsyncConnection, parcel: Parcel, reason: str) -> None:
    """Books that it is not tried again."""
    values = {"state": MessageState.FAILED, "reason": reason, "ended_at": func.now()}
    still_there = and_(outbox.c.id.in_(parcel.ids), outbox.c.state == MessageState.PENDING)
    await connection.execute(update(outbox).where(still_there).values(values))


def _ours(parcel: Parcel) -> ColumnElement[bool]:
    """The rows of a try, unless its lease is over and somebody else has begun the next one."""
    pending = outbox.c.state == MessageState.PENDING
    return and_(outbox.c.id.in_(parcel.ids), outbox.c.tries == parcel.tries, pending)
