"""Each pipeline for itself: it returns the item, raises `Rejected`, or ends the run. Real crawls are in end_to_end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pictures import encoded, photo
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)

from pixcrawler.base_spiders import PagedSearch, Terms
from pixcrawler.config import Config
from pixcrawler.crawling import Decided, Rejected
from pixcrawler.errors import LeaseLost
from pixcrawler.failures import reason_of
from pixcrawler.imaging import inspect
from pixcrawler.items import ImageItem, Inspection
from pixcrawler.jobs import AttemptState, Reason
from pixcrawler.local_ledger import LocalLedger
from pixcrawler.middlewares.fence import Fenced
from pixcrawler.middlewares.firewall import Refused
from pixcrawler.pipelines.deduplicate import DeduplicatePipeline
from pixcrawler.pipelines.record import RecordPipeline
from pixcrawler.pipelines.upload import UploadPipeline
from pixcrawler.pipelines.validate import ValidatePipeline


class Search(PagedSearch):
    name = "search"
    page_size = 20
    cap = 240
    terms = Terms(url="", datasets="", attribution="")


def inspected(width: int = 640, height: int = 480, sha256: str = "ab" * 32) -> ImageItem:
    look = Inspection(sha256, 3, "jpeg", width, height, 1, phash=0x0F0F33AA00FF1234, flat=False)
    return ImageItem("https://example.org/a.jpg", "search", "otter", body=b"jpg", received=True, inspection=look)


@pytest.fixture
def crawler(tmp_path: Path) -> Any:
    """A crawler with a spider and a local ledger whose only candidate is `inspected()`."""
    spider = Search(keywords="otter")
    spider.ledger = LocalLedger(Config(data_dir=tmp_path), "search", ("otter",), 5)
    asyncio.run(spider.ledger.add_page("otter", [inspected()], 2, None))
    yield SimpleNamespace(spider=spider)
    spider.ledger._manifest.close()
    spider.ledger._fingerprints.close()


def rejected(pipeline: Any, item: ImageItem) -> Reason:
    async def process() -> None:
        result = pipeline.process_item(item)
        await result if asyncio.iscoroutine(result) else None

    with pytest.raises(Rejected) as raised:
        asyncio.run(process())
    assert raised.value.log_level == "DEBUG"
    return raised.value.reason


@pytest.mark.parametrize(
    ("size", "reason"), [((199, 300), Reason.TOO_SMALL), ((601, 200), Reason.ASPECT), ((600, 200), None)]
)
def test_validate_refuses_what_no_dataset_wants(crawler: Any, size: tuple[int, int], reason: Reason | None) -> None:
    item = inspected(*size)
    if reason:
        assert rejected(ValidatePipeline(crawler), item) is reason
    else:
        assert ValidatePipeline(crawler).process_item(item) is item


@pytest.mark.parametrize(
    ("of_the_job", "argument", "refused"),
    [(None, None, False), ("strict", None, True), (None, "strict", True), ("strict", "lenient", False)],
)
def test_validate_asks_what_its_crawl_or_job_asks(
    crawler: Any, of_the_job: str | None, argument: str | None, refused: bool
) -> None:
    spider = crawler.spider
    spider.arguments = replace(spider.arguments, quality=argument)
    spider.ledger.run.options = {"quality": of_the_job} if of_the_job else {}
    animated = inspected()
    animated.inspection = replace(animated.inspection, frames=2)
    if refused:
        assert rejected(ValidatePipeline(crawler), animated) is Reason.ANIMATED
    else:
        assert ValidatePipeline(crawler).process_item(animated) is animated


@pytest.mark.parametrize("preset", ["lenient", "standard", "strict"])
def test_validate_refuses_what_its_owner_reserves_whatever_the_preset(crawler: Any, preset: str) -> None:
    crawler.spider.arguments = replace(crawler.spider.arguments, quality=preset)
    reserved = inspected()
    reserved.inspection = replace(reserved.inspection, data_mining="DMI-PROHIBITED")
    with pytest.raises(Rejected) as raised:
        ValidatePipeline(crawler).process_item(reserved)
    assert (raised.value.reason, raised.value.detail) == (Reason.DATA_MINING, "DMI-PROHIBITED")


def test_deduplicate_only_looks(crawler: Any) -> None:
    pipeline = DeduplicatePipeline(crawler)
    item, copy = inspected(), replace(inspected(), url="https://example.org/b.jpg", key="")
    item.inspection, copy.inspection = (inspect(encoded(photo(), quality=q)) for q in (85, 60))
    assert asyncio.run(pipeline.process_item(item)) is item
    assert asyncio.run(pipeline.process_item(item)) is item  # it wrote nothing
    item.storage_key = "images/ab/x.jpg"
    asyncio.run(crawler.spider.ledger.keep(item))
    assert rejected(pipeline, item) is Reason.DUPLICATE_BYTES
    assert rejected(pipeline, copy) is Reason.NEAR_DUPLICATE


def test_upload_stores_under_the_hash_and_lets_the_bytes_go(crawler: Any) -> None:
    item = asyncio.run(UploadPipeline(crawler).process_item(inspected()))
    assert item.storage_key == f"images/ab/{'ab' * 32}.jpg"
    assert item.storage_url == (crawler.spider.ledger.folder / item.storage_key).as_uri()
    assert (crawler.spider.ledger.folder / item.storage_key).read_bytes() == b"jpg"
    assert item.body is None


def test_upload_names_the_job(crawler: Any) -> None:
    crawler.spider.ledger.run.storage_prefix = "jobs/7"
    item = asyncio.run(UploadPipeline(crawler).process_item(inspected()))
    assert item.storage_key == f"jobs/7/images/ab/{'ab' * 32}.jpg"


def test_upload_puts_nothing_without_the_lease(crawler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalLedger, "may_write", False)
    assert rejected(UploadPipeline(crawler), inspected()) is Reason.CANCELLED
    assert not list(crawler.spider.ledger.folder.glob("images/**"))


def test_upload_ends_the_run_when_nothing_can_be_stored(crawler: Any) -> None:
    (crawler.spider.ledger.folder / "images").write_text("a file in the place of a folder")
    assert rejected(UploadPipeline(crawler), inspected()) is Reason.CANCELLED
    outcome = crawler.spider.outcome
    assert outcome.state is AttemptState.FAILED
    assert f"images/ab/{'ab' * 32}.jpg" in outcome.reason


def test_record_leaves_the_decision_to_the_ledger(crawler: Any) -> None:
    item = inspected()
    item.storage_key = "images/ab/x.jpg"
    pipeline = RecordPipeline(crawler)
    assert asyncio.run(pipeline.process_item(item)) is item
    with pytest.raises(Decided):
        asyncio.run(pipeline.process_item(item))


def test_record_stops_at_a_lost_lease(crawler: Any) -> None:
    async def keep(item: ImageItem) -> None:
        raise LeaseLost("not ours")

    told: list[LeaseLost] = []
    crawler.spider.ledger.keep = keep
    crawler.spider.lease_lost = told.append
    assert rejected(RecordPipeline(crawler), inspected()) is Reason.CANCELLED
    assert [str(error) for error in told] == ["not ours"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DownloadTimeoutError(), Reason.TIMEOUT),
        (DownloadCancelledError("larger than download max size"), Reason.TOO_LARGE),
        (IgnoreRequest("max redirections reached"), Reason.HTTP_ERROR),
        (Refused("a private address"), Reason.FIREWALL),
        (Fenced("the crawl is over"), Reason.CANCELLED),
        (ValueError("Missing scheme"), Reason.BAD_URL),
        (UnsupportedURLSchemeError("gopher"), Reason.BAD_URL),
        (CannotResolveHostError(), Reason.UNREACHABLE),
        (DownloadConnectionRefusedError(), Reason.UNREACHABLE),
        (DownloadFailedError(), Reason.UNREACHABLE),
        (ResponseDataLossError(), Reason.UNREACHABLE),
        (OSError(), Reason.UNREACHABLE),
    ],
)
def test_every_failed_download_has_a_reason(error: Exception, reason: Reason) -> None:
    assert reason_of(error) is reason
