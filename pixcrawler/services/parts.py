"""The parts `pixcrawler up` consists of: one Scrapyd node, a dispatcher, an exporter and the API."""

from __future__ import annotations

import os
import random
import socket
import sys
from base64 import b64encode
from collections.abc import Mapping
from configparser import ConfigParser
from contextlib import closing
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pixcrawler
from pixcrawler.api.addresses import require_safe
from pixcrawler.config import Config, Node
from pixcrawler.errors import UsageError
from pixcrawler.services.supervisor import Part

PROJECT_ROOT = Path(pixcrawler.__file__).parents[1]
LOOPBACK = ("127.0.0.1", "localhost")
UNGIVEN_PORTS = range(20_000, 32_768)  # below those that Linux and others take for connections
ANSWER_SECONDS = 30.0  # a node that has just started on a busy machine


def local_parts(config: Config, url: str, env: Mapping[str, str]) -> list[list[Part]]:
    """The stages that serve the database at `url`, with `env` on top of our own environment.

    The first of SCRAPYD_NODES is the node to start. Raises `UsageError` if it is elsewhere, or a port is taken.
    """
    node = config.nodes[0]
    host, port = _address_here(node)
    home = config.data_dir / "scrapyd"
    _write_scrapyd_home(home, node.slots, port)
    settings = {
        "DATABASE_URL": url,
        "PIXCRAWLER_DATA_DIR": str(config.data_dir),
        "SCRAPYD_NODES": ",".join(config.scrapyd_nodes),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT_ROOT), os.environ.get("PYTHONPATH")))),
    }
    shared = {**os.environ, **settings, **env}
    api = _api(shared, config)
    scrapyd = Part(
        "scrapyd",
        # Its pid file would keep a node from starting once another process has that pid.
        [sys.executable, "-m", "scrapyd", "--pidfile="],
        {**shared, **_scrapyd_settings(node, host, port)},
        home,
        answers=lambda: _answers(node, host, port),
    )
    services = [_service(name, shared, config, place) for place, name in enumerate(("dispatcher", "exporter"))]
    return [[scrapyd], [*services, api]]


def _service(command: str, env: Mapping[str, str], config: Config, place: int) -> Part:
    """A service, whose metrics are `place` ports behind the first."""
    metrics = {"PIXCRAWLER_METRICS_PORT": str(config.metrics_port + place)} if config.metrics_port else {}
    return Part(command, [sys.executable, "-m", "pixcrawler.cli", command], {**env, **metrics}, config.data_dir)


def _api(env: Mapping[str, str], config: Config) -> Part:
    require_safe(config)
    if not _is_free(config.port, config.host):
        raise UsageError(f"PORT={config.port} is taken: end what uses it, or name another one")
    part = _service("api", {**env, "HOST": config.host, "PORT": str(config.port)}, config, 2)
    return replace(part, answers=lambda: _listens(config.host, config.port))


def _address_here(node: Node) -> tuple[str, int]:
    parts = urlsplit(node.url)
    host, port = parts.hostname or "", parts.port or 0
    if host not in LOOPBACK or parts.scheme != "http":
        raise UsageError(f"SCRAPYD_NODES: the first must be on this machine, as http://127.0.0.1:6800, not {node.url}")
    if not _is_free(port):
        raise UsageError(f"port {port} is taken: end what uses it, or name another one in SCRAPYD_NODES")
    return LOOPBACK[0], port


def _is_free(port: int, host: str = LOOPBACK[0]) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = LOOPBACK[0]) -> int:
    """A port nobody uses at this moment, and that the system gives to no connection in the next."""
    ports = list(UNGIVEN_PORTS)
    random.shuffle(ports)
    return next(port for port in ports if _is_free(port, host))


def _scrapyd_settings(node: Node, host: str, port: int) -> dict[str, str]:
    """What Scrapyd reads from its environment, in preference to any file."""
    return {
        "SCRAPYD_BIND_ADDRESS": host,
        "SCRAPYD_HTTP_PORT": str(port),
        "SCRAPYD_USERNAME": node.username,
        "SCRAPYD_PASSWORD": node.password.get_secret_value(),
    }


def _write_scrapyd_home(home: Path, slots: int, port: int) -> None:
    """Writes the project's scrapyd.conf with folders, port and slots of its own."""
    scrapyd = ConfigParser(interpolation=None)
    scrapyd.read(PROJECT_ROOT / "scrapyd.conf")
    folders = {"dbs_dir": "dbs", "logs_dir": "../logs/crawl"}
    scrapyd.read_dict({"scrapyd": {**folders, "http_port": str(port), "max_proc": str(slots)}})
    try:
        home.mkdir(parents=True, exist_ok=True)
        with (home / "scrapyd.conf").open("w", encoding="utf-8") as file:
            scrapyd.write(file)
    except OSError as error:
        raise UsageError(f"{home} cannot be written: {error.strerror}") from None


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), ANSWER_SECONDS):
            return True
    except OSError:
        return False


def _answers(node: Node, host: str, port: int) -> bool:
    secret = b64encode(f"{node.username}:{node.password.get_secret_value()}".encode()).decode()
    try:
        with closing(HTTPConnection(host, port, timeout=ANSWER_SECONDS)) as connection:
            connection.request("GET", "/daemonstatus.json", headers={"Authorization": f"Basic {secret}"})
            return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
