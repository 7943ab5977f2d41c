"""Metrics in Prometheus's text format: on a port of a service's own, or as a page for whoever serves pages."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Metric, generate_latest, start_http_server
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pixcrawler.config import Config
from pixcrawler.db import gauges
from pixcrawler.db.questions import ask
from pixcrawler.errors import DatabaseUnavailable, UsageError
from pixcrawler.metrics import PROCESS

__all__ = ["CONTENT_TYPE", "page", "serving"]


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _Everything(Collector):
    """What this process has counted, and what is in the database at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()  # however many ask: one connection

    def collect(self) -> Iterator[Metric]:
        yield from PROCESS.collect()
        with self._lock:
            yield from self._rows()

    def _rows(self) -> Iterable[Metric]:
        try:
            rows = ask(self._url, gauges.read, "pixcrawler metrics")
        except DatabaseUnavailable:
            return [database_up(False)]
        return [database_up(True), *rows]


def database_up(up: bool) -> Metric:
    """Whether the database answers."""
    return GaugeMetricFamily("pixcrawler_database_up", "Whether the database answers", value=float(up))


def page(families: Iterable[Metric]) -> bytes:
    """`families` as a page of type `CONTENT_TYPE`.

    A service with connections of its own tells `[*PROCESS.collect(), *await gauges.read(connection)]`.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(families))
    return generate_latest(registry)


@contextmanager
def serving(config: Config, url: str) -> Iterator[None]:
    """Tells what there is to tell at PIXCRAWLER_METRICS_PORT, if it is set. Raises `UsageError` if it is taken."""
    if config.metrics_port is None:
        yield
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Everything(url))
    try:
        server, thread = start_http_server(config.metrics_port, config.metrics_address, registry)
    except OSError as error:
        where = f"{config.metrics_address}:{config.metrics_port}"
        raise UsageError(f"PIXCRAWLER_METRICS_PORT: {where} cannot be used: {error.strerror}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
