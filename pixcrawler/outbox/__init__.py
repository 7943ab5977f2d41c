"""Sends what is in the outbox: notifications as mails, and as signed requests to a webhook.

Any number of senders may run. What one has taken is leased to it, with the try counted; should it die, the parcel is
sent again when the lease is over. So everything arrives at least once, under a key that tells the same from the new.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pixcrawler.config import Config
from pixcrawler.db import check, engine, outbox
from pixcrawler.db.engine import transaction
from pixcrawler.db.outbox import Owner, Parcel
from pixcrawler.db.patience import persist, repeat
from pixcrawler.errors import NotDelivered
from pixcrawler.jobs import Channel
from pixcrawler.outbox.mail import Mail
from pixcrawler.outbox.webhook import Webhook

logger = logging.getLogger(__name__)

CONNECTIONS = 1  # for all channels: none holds it while it speaks with a receiver
LEASE_SECONDS = 60.0  # longer than any carrier takes
TRIES = 10  # spread over the best part of a day
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 6 * 3600.0  # seconds between tries
GROWTH = 3.0  # of the pauses


class Carrier(Protocol):
    """What brings parcels of one channel to their receivers."""

    async def deliver(self, parcel: Parcel, owner: Owner) -> None:
        """Delivers within `LEASE_SECONDS`, or raises `NotDelivered`."""

    async def close(self) -> None:
        """Closes its connections."""


async def run(url: str, config: Config, stop: asyncio.Event) -> None:
    """Sends by all channels that are set up until `stop` is set; returns at once if there are none."""
    carriers = open_carriers(config)
    if not carriers:
        return
    database = engine.create(url, application_name="pixcrawler outbox", pool_size=CONNECTIONS)
    try:
        async with transaction(database) as connection:
            await check.require(connection)
        logger.info("sending notifications by %s", ", ".join(carriers))
        async with asyncio.TaskGroup() as group:
            for channel, carrier in carriers.items():
                group.create_task(repeat(Sender(database, channel, carrier).step, stop, config.poll_seconds))
    finally:
        for carrier in carriers.values():
            await carrier.close()
        await database.dispose()


def open_carriers(config: Config) -> dict[Channel, Carrier]:
    """The carriers of the channels that are set up."""
    carriers: dict[Channel, Carrier] = {}
    if config.mail_server and config.mail_from:
        carriers[Channel.EMAIL] = Mail(config.mail_server, config.mail_from, config.site_url)
    if config.webhook_url:
        carriers[Channel.WEBHOOK] = Webhook(config.webhook_url, config.webhook_key, config.user_agent)
    return carriers


class Sender:
    """Sends one parcel of its channel after the other."""

    def __init__(self, database: AsyncEngine, channel: Channel, carrier: Carrier) -> None:
        self._engine = database
        self._channel = channel
        self._carrier = carrier

    async def step(self) -> bool:
        """Takes the parcel that is due first, and sends it. False: none is due."""
        async with transaction(self._engine) as connection:
            due = await outbox.next_due(connection, self._channel)
            if due is None:
                return False
            takes = await self._take(connection, *due)
        if takes:
            await self._send(*due)
        return True

    async def _take(self, connection: AsyncConnection, parcel: Parcel, owner: Owner) -> bool:
        """Leases the parcel, unless its owner has other wishes by now."""
        undisturbed = owner.undisturbed(owner.now)
        if not owner.wants(self._channel):
            await outbox.give_up(connection, parcel, "its owner wants none any more")
        elif undisturbed > owner.now:
            await outbox.postpone(connection, parcel, undisturbed)
        elif parcel.tries > TRIES:
            await outbox.give_up(connection, parcel, "its senders died")
        else:
            await outbox.lease(connection, parcel, LEASE_SECONDS)
            return True
        return False

    async def _send(self, parcel: Parcel, owner: Owner) -> None:
        try:
            await self._carrier.deliver(parcel, owner)
        except NotDelivered as error:
            await self._not_sent(parcel, str(error), error.for_good)
        except Exception as error:  # one that cannot be sent must not keep back the others
            logger.exception("parcel %s", parcel.key)
            await self._not_sent(parcel, type(error).__name__, for_good=False)
        else:
            await persist(self._engine, lambda connection: outbox.sent(connection, parcel), LEASE_SECONDS)

    async def _not_sent(self, parcel: Parcel, reason: str, for_good: bool) -> None:
        last = for_good or parcel.tries >= TRIES
        rest = pause_after(parcel.tries)
        logger.warning(
            "%s %s was not sent (try %d): %s; %s",
            parcel.channel,
            parcel.key,
            parcel.tries,
            reason,
            "given up" if last else f"again in {rest:.0f} s",
        )

        async def book(connection: AsyncConnection) -> None:
            if last:
                await outbox.give_up(connection, parcel, reason)
            else:
                await outbox.not_sent(connection, parcel, reason, rest)

        await persist(self._engine, book, LEASE_SECONDS)


def pause_after(tries: int) -> float:
    """Seconds until the next try, a little different each time: not all come back at once."""
    shortest = min(FIRST_PAUSE * math.pow(GROWTH, tries - 1), LONGEST_PAUSE / 1.2)
    return shortest * random.uniform(1, 1.2)  # noqa: S311  # jitter is no secret
