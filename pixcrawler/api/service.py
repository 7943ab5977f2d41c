"""The API as a service: listens until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import uvicorn

from pixcrawler.api.addresses import require_safe
from pixcrawler.api.app import create_app, open_state
from pixcrawler.config import Config
from pixcrawler.errors import UsageError
from pixcrawler.terms import Catalogue

logger = logging.getLogger(__name__)

GRACE_SECONDS = 5  # for answers that have begun
IDLE_SECONDS = 75  # longer than clients and proxies keep a connection, or both ends of one may decide at once
BACKLOG = 2048


async def run(
    url: str, config: Config, stop: asyncio.Event, *, catalogue: Catalogue, descriptions: Mapping[str, str]
) -> None:
    """Serves until `stop`. Raises `UsageError` for an address that cannot, or must not, be listened on."""
    require_safe(config)
    with _listening(config) as listener:
        async with open_state(url, config, catalogue, descriptions) as state:
            server = _Server(
                uvicorn.Config(
                    create_app(state),
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    proxy_headers=bool(config.trusted_proxies),
                    forwarded_allow_ips=list(config.trusted_proxies),
                    timeout_graceful_shutdown=GRACE_SECONDS,
                    timeout_keep_alive=IDLE_SECONDS,
                )
            )
            serving = asyncio.create_task(server.serve([listener]))
            stopping = asyncio.create_task(stop.wait())
            logger.info("the API is at http://%s:%s", *listener.getsockname()[:2])
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            await state.events.close()
            server.should_exit = True
            stopping.cancel()
            await serving


class _Server(uvicorn.Server):
    """One that leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listening(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listener = socket.create_server((config.host, config.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise UsageError(f"HOST={config.host}, PORT={config.port}: {error.strerror or error}") from None
    # asyncio does so for sockets of its own only; else a body waits 40 ms for word that its headers are there.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
