"""What a node and its crawls have counted, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from twisted.web.server import Request

from pixcrawler.exposition import CONTENT_TYPE, page
from pixcrawler.scrapyd_node.operators import free_disk, slots_of
from pixcrawler.scrapyd_node.services import Answer, Service

GAUGES = {
    "slots": "Crawl processes that may run at once",
    "running": "Crawl processes that run",
    "waiting": "Crawls that wait for a slot",
    "wedged": "Whether crawls wait although a slot is free, or the node's own books are out of reach",
    "disk_free_bytes": "What is left on the disk of the data folder",
}


class Metrics(Service):
    """The node's own figures, and the sum of those of its crawls since it began."""

    async def answer(self) -> Answer:
        launcher = self.root.launcher
        return {"page": page([*self._gauges(), *launcher.keeper.counted(launcher.at_work)])}

    def _gauges(self) -> Iterator[Metric]:
        slots, problems = slots_of(self.root)
        values = {
            "slots": slots["max_proc"],
            "running": slots["running"],
            "waiting": slots["pending"] or 0,
            "wedged": bool(problems),
            "disk_free_bytes": free_disk(),
        }
        for name, words in GAUGES.items():
            yield GaugeMetricFamily(f"pixcrawler_node_{name}", words, value=float(values[name]))

    def send(self, request: Request, status: HTTPStatus, answer: Answer) -> None:
        body = answer.get("page")
        if body is None:  # refused
            super().send(request, status, answer)
            return
        request.setHeader("Content-Type", CONTENT_TYPE)
        request.setHeader("Content-Length", str(len(body)))
        request.write(body)
        request.finish()
