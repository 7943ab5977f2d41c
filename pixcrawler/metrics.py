"""What is counted and timed. The names are in docs/operations.md; what is in rows is counted there, see db/gauges.py.

Crawl processes count by themselves, write it to a file beside their log, and their node tells the sum of all: so
nothing is lost when one ends, and nobody has to ask hundreds of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric

# Of one statement: from what an index answers to the longest that is allowed.
STATEMENT_SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Of one request: from a CDN near by to the time-out.
REQUEST_SECONDS_BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
# Of a file stored: from a local disk to an object store far away that wants to be asked again.
UPLOAD_SECONDS_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Of one request to the API: from what an index answers to the time it may take.
API_SECONDS_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
EXPORT_SECONDS_BOUNDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600)

CRAWLS = CollectorRegistry()
REQUEST_SECONDS = Histogram(
    "pixcrawler_request_seconds",
    "From sending a request to the headers of its answer",
    ["source", "kind"],  # page: a question to the source; image: a picture
    buckets=REQUEST_SECONDS_BOUNDS,
    registry=CRAWLS,
)
UPLOAD_SECONDS = Histogram(
    "pixcrawler_upload_seconds",
    "Until a picture is in storage",
    ["source"],
    buckets=UPLOAD_SECONDS_BOUNDS,
    registry=CRAWLS,
)
IMAGES = Counter("pixcrawler_images", "Pictures decided by crawl processes", ["source", "outcome"], registry=CRAWLS)
RECEIVED_BYTES = Counter("pixcrawler_received_bytes", "Bodies of all answers, as sent", ["source"], registry=CRAWLS)

PROCESS = CollectorRegistry()
STATEMENT_SECONDS = Histogram(
    "pixcrawler_statement_seconds",
    "Statements of this process, as it waits for them",
    buckets=STATEMENT_SECONDS_BOUNDS,
    registry=PROCESS,
)
EXPORT_SECONDS = Histogram(
    "pixcrawler_export_seconds",
    "From the claim of a dataset to its publication",
    buckets=EXPORT_SECONDS_BOUNDS,
    registry=PROCESS,
)
EXPORT_BYTES = Counter("pixcrawler_export_bytes", "Size of the datasets published", registry=PROCESS)
API_SECONDS = Histogram(
    "pixcrawler_api_seconds",
    "From a request to the API to the beginning of its answer",
    ["route", "status"],
    buckets=API_SECONDS_BOUNDS,
    registry=PROCESS,
)
NODE_ANSWERS = Gauge(
    "pixcrawler_node_answers", "Whether this dispatcher gives work to the node", ["node"], registry=PROCESS
)

Counts = list[list[Any]]  # [sample, labels, value], as JSON has it


def counted() -> Counts:
    """What this crawl process has counted."""
    samples = (sample for metric in CRAWLS.collect() for sample in metric.samples)
    return [[one.name, one.labels, one.value] for one in samples if not one.name.endswith("_created")]


class Sum:
    """What many crawl processes have counted."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = defaultdict(float)

    def add(self, counts: Counts) -> None:
        """Adds what a crawl process has counted in all: once for each."""
        for name, labels, value in counts:
            self._values[name, tuple(sorted(labels.items()))] += value

    def with_these(self, several: Iterable[Counts]) -> Iterator[Metric]:
        """The sum, and that of processes that are still counting."""
        now = Sum()
        now._values.update(self._values)
        for counts in several:
            now.add(counts)
        for known in CRAWLS.collect():
            metric = Metric(known.name, known.documentation, known.type)
            for (name, labels), value in now._values.items():
                if name.removesuffix("_total") == known.name or name.rpartition("_")[0] == known.name:
                    metric.add_sample(name, dict(labels), value)
            yield metric
