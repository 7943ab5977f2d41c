"""What crawl processes have counted, summed by their node."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pixcrawler.exposition import page
from pixcrawler.metrics import Counts, Sum

CRAWL = """
import json, sys
from pixcrawler import metrics
for source, kind, seconds in json.loads(sys.argv[1]):
    metrics.REQUEST_SECONDS.labels(source, kind).observe(seconds)
    metrics.IMAGES.labels(source, "kept").inc()
print(json.dumps(metrics.counted()))
"""


def crawled(*requests: tuple[str, str, float]) -> Counts:
    """What a process that does this writes."""
    command = [sys.executable, "-c", CRAWL, json.dumps(requests)]
    counts: Counts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return counts


def samples(total: Sum, *running: Counts) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(page(total.with_these(running)).decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_histograms_and_counters_of_processes_add_up() -> None:
    one = crawled(("met", "page", 0.03), ("met", "image", 3.0))
    other = crawled(("met", "page", 0.3), ("nasa", "page", 100.0))
    total = Sum()
    total.add(one)
    told = samples(total, other)
    assert told == samples(Sum(), one, other)
    assert told["pixcrawler_images_total", "kept", "met"] == 3
    assert told["pixcrawler_request_seconds_sum", "page", "met"] == pytest.approx(0.33)
    buckets = {le: told["pixcrawler_request_seconds_bucket", "page", le, "met"] for le in ("0.025", "0.05", "0.5")}
    assert buckets == {"0.025": 0, "0.05": 1, "0.5": 2}
    assert told["pixcrawler_request_seconds_bucket", "page", "20.0", "nasa"] == 0
    assert told["pixcrawler_request_seconds_count", "page", "nasa"] == 1
    assert samples(total)["pixcrawler_images_total", "kept", "met"] == 2  # what runs is not counted in for good


@settings(max_examples=30)
@given(st.lists(st.lists(st.tuples(st.sampled_from(["met", "nasa"]), st.integers(0, 9)), max_size=4), max_size=4))
def test_whoever_has_ended_the_sum_is_the_same(processes: list[list[tuple[str, int]]]) -> None:
    written = [
        [["pixcrawler_images_total", {"source": source, "outcome": "kept"}, number] for source, number in counts]
        for counts in processes
    ]
    for ended in range(len(written) + 1):
        total = Sum()
        for counts in written[:ended]:
            total.add(counts)
        told = samples(total, *written[ended:])
        for source in ("met", "nasa"):
            exact = sum(number for counts in processes for name, number in counts if name == source)
            assert told.get(("pixcrawler_images_total", "kept", source), 0) == exact
