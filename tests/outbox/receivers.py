"""Notifications in a real database, and loopback servers that take them: SMTP with TLS and passwords, HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

from aiosmtpd.smtp import AuthResult, LoginPassword

from pixcrawler.config import Config, config
from pixcrawler.db import engine, outbox
from pixcrawler.db.engine import transaction
from pixcrawler.db.schema import LOCAL_USER
from pixcrawler.jobs import Channel
from pixcrawler.outbox import Sender, open_carriers

Sql = Callable[..., list[tuple[Any, ...]]]

KEY = bytes(range(24))
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
FAR = "mail.test"  # a name that leads here, and that nothing here knows to be here


@dataclass
class Mailbox:
    """What a mail server has received, and what it answers."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    to_recipient: str = "250 fine"
    to_mail: str = "250 taken"
    to_farewell: str = "221 bye"
    port: int = 0

    async def handle_RCPT(self, _s: Any, _session: Any, envelope: Any, address: str, _o: Any) -> str:  # noqa: N802
        if self.to_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.to_mail.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.recipients.append(envelope.rcpt_tos)
            self.encrypted.append(session.ssl is not None)
        return self.to_mail

    async def handle_QUIT(self, server: Any, *_: Any) -> str:  # noqa: N802
        if not self.to_farewell:
            server.transport.abort()
        return self.to_farewell

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, login: Any) -> AuthResult:
        assert isinstance(login, LoginPassword)
        self.logins.append((login.login.decode(), login.password.decode()))
        return AuthResult(success=login.password == b"p@ss/word", handled=False)


class Receiver(ThreadingHTTPServer):
    """A webhook's other end. `answers` are the next statuses, then 200 for ever."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.hangs = False
        self.endless = False
        self.asked = threading.Event()
        self.ended = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hooks"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]

    def handle_error(self, *_: Any) -> None:
        pass  # the other side may leave when it likes


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.server.asked.set()
        if self.server.hangs:
            self.server.ended.wait()
            return
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", self.server.url)
        self.end_headers()
        while self.server.endless and not self.server.ended.is_set():
            self.wfile.write(b"." * 65536)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(receiver: Receiver) -> Iterator[Receiver]:
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.ended.set()
        receiver.shutdown()
        receiver.server_close()
        thread.join()


class Post:
    """What a test does with the outbox: owners who want this or that, messages, senders at work, rows."""

    def __init__(self, url: str, sql: Sql) -> None:
        self.url = url
        self.sql = sql

    def owner(self, email: str = "ann@people.example", **preferences: Any) -> UUID:
        """A new owner who hears of everything at once, by mail, unless told otherwise."""
        owner = uuid4()
        self.sql("INSERT INTO auth.users (id, email) VALUES (%s, %s)", (owner, email))
        self.sql(
            "INSERT INTO public.profiles (id, email) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET email = %s",
            (owner, email, email),
        )
        self.sql("INSERT INTO public.notification_preferences (user_id) VALUES (%s) ON CONFLICT DO NOTHING", (owner,))
        self.prefers(owner, **{"digest_frequency": "realtime", **preferences})
        return owner

    def prefers(self, owner: UUID, **preferences: Any) -> None:
        for name, value in preferences.items():
            self.sql(f"UPDATE public.notification_preferences SET {name} = %s WHERE user_id = %s", (value, owner))

    def message(self, owner: UUID = LOCAL_USER, *channels: Channel, **changes: Any) -> None:
        """A notification of the owner, posted as whoever writes one does."""
        message = {"type": "success", "title": "Crawl Job Completed", "message": "all are ready", "id": 7, **changes}

        async def post() -> None:
            database = engine.create(self.url, application_name="test", pool_size=1)
            async with transaction(database) as connection:
                await outbox.post(connection, owner=owner, channels=channels or tuple(Channel), message=message)
            await database.dispose()

        asyncio.run(post())

    def send(self, settings: Config | None = None, senders: int = 1) -> int:
        """Sends all that is due; returns how many steps that took."""
        settings = settings or config()

        async def drain(sender: Sender) -> int:
            steps = 0
            while await sender.step():
                steps += 1
            return steps

        async def work() -> int:
            crew = [
                (engine.create(self.url, application_name="test", pool_size=1), channel, carrier)
                for _ in range(senders)
                for channel, carrier in open_carriers(settings).items()
            ]
            try:
                return sum(await asyncio.gather(*(drain(Sender(*one)) for one in crew)))
            finally:
                for database, _, carrier in crew:
                    await carrier.close()
                    await database.dispose()

        return asyncio.run(work())

    def rows(self) -> list[tuple[Any, ...]]:
        """State, tries and reason of every message."""
        return self.sql("SELECT state, tries, reason FROM crawler.outbox ORDER BY id")

    def wait_is_over(self) -> None:
        """Lets the time pass that the pending messages wait for, as it passes for each of them."""
        self.sql("UPDATE crawler.outbox SET not_before = not_before - interval '1 week' WHERE state = 'pending'")
