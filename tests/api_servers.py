"""The API in a thread of its own, and who signs the tokens it believes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pixcrawler.api.service import run
from pixcrawler.config import Config
from pixcrawler.services import free_port
from pixcrawler.sources import catalogue, descriptions

Sql = Callable[..., list[tuple[Any, ...]]]

START_SECONDS = 30.0


class Issuer:
    """Signs tokens as Supabase does, and serves its public keys."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"first": ec.generate_private_key(ec.SECP256R1())}
        self.asked = 0
        self.down = False
        self.url = ""

    def jwks(self) -> dict[str, Any]:
        return {"keys": [self._public(name, key) for name, key in self.keys.items()]}

    def _public(self, name: str, key: Any) -> dict[str, Any]:
        is_rsa = isinstance(key, rsa.RSAPrivateKey)
        algorithm = jwt.algorithms.RSAAlgorithm if is_rsa else jwt.algorithms.ECAlgorithm
        entry: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
        return entry | {"kid": name, "use": "sig", "alg": "RS256" if is_rsa else "ES256"}

    def claims(self, user: UUID | str, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": f"{self.url}/auth/v1",
            "aud": "authenticated",
            "sub": str(user),
            "role": "authenticated",
            "iat": now,
            "exp": now + 3600,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, user: UUID | str, kid: str = "first", **changes: Any) -> str:
        key = self.keys[kid]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(self.claims(user, **changes), key, algorithm, headers={"kid": kid})


@contextmanager
def issuing() -> Iterator[Issuer]:
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            body = json.dumps(issuer.jwks()).encode()
            self.send_response(503 if issuer.down else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Api:
    """A running API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.issuer: Issuer | None = None
        self.users: dict[str, UUID] = {}

    def client(self, credentials: str | None = None, **headers: str) -> httpx.Client:
        bearer = {"Authorization": f"Bearer {credentials}"} if credentials else {}
        return httpx.Client(base_url=f"{self.url}/api/v1/", headers={**bearer, **headers}, timeout=30, trust_env=False)

    def user(self, sql: Sql, email: str) -> UUID:
        """Signs somebody up, once."""
        if email not in self.users:
            self.users[email] = uuid4()
            sql("INSERT INTO auth.users (id, email) VALUES (%s, %s)", (self.users[email], email))
        return self.users[email]

    def logged_in(self, sql: Sql, email: str) -> httpx.Client:
        assert self.issuer is not None
        return self.client(self.issuer.token(self.user(sql, email), email=email))


@contextmanager
def serving(url: str, data_dir: Path, **changes: Any) -> Iterator[Api]:
    port = free_port()
    config = Config(**{"data_dir": data_dir, "port": port, "default_sources": ("openverse",)} | changes)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    service = run(url, config, stop, catalogue=catalogue(), descriptions=descriptions())
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            loop.run_until_complete(service)
        except BaseException as error:
            failures.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield _answering(Api(f"http://127.0.0.1:{port}"), thread, failures)
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    if failures:
        raise failures[0]


def _answering(api: Api, thread: threading.Thread, failures: list[BaseException]) -> Api:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and thread.is_alive():
        try:
            httpx.get(f"{api.url}/api/v1/health/", trust_env=False, timeout=5).raise_for_status()
            return api
        except httpx.TransportError:
            time.sleep(0.02)
    thread.join()
    raise failures[0] if failures else AssertionError("the API does not answer")
