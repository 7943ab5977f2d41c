"""Replays what was recorded of every source: the question it asks, and what it makes of the answer."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scrapy.crawler import Crawler
from scrapy.http import Request, Response
from scrapy.responsetypes import responsetypes
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader

import pixcrawler.spiders
from pixcrawler.asking import checked
from pixcrawler.base_spiders import ImageSpider
from pixcrawler.config import Config, config
from pixcrawler.errors import PixCrawlerError
from pixcrawler.jobs import AttemptState, Outcome
from pixcrawler.local_ledger import LocalLedger
from pixcrawler.probing import Look
from pixcrawler.recordings import UNREVIEWED, asked, understood

RECORDINGS = Path(__file__).parent
CASES = sorted(path.parent for path in RECORDINGS.glob("*/*/request.json"))
SOURCES = sorted(path for path in Path(pixcrawler.spiders.__path__[0]).glob("*.py") if path.stem != "__init__")
MAY_IMPORT = {"base_spiders", "errors", "items", "jobs", "ledger", "lists", "markup"}
LONGEST = 68  # lines with something on them: two questions, and what the source declares of itself


def loader() -> SpiderLoader:
    return SpiderLoader.from_settings(Settings({"SPIDER_MODULES": ["pixcrawler.spiders"]}))


def named(paths: list[Path]) -> dict[str, Any]:
    return {"argvalues": paths, "ids": [f"{path.parent.name}/{path.stem}" for path in paths]}


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


@pytest.fixture
def spider(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageSpider]:
    """The case's source with the case's arguments, as `scrapy crawl` makes it, and a ledger of its own."""
    source = case.parent.name
    monkeypatch.delenv(f"PIXCRAWLER_BASE_URL_{source.upper()}", raising=False)
    arguments = dict(read(case / "request.json")["arguments"])
    monkeypatch.setenv("PIXCRAWLER_ACCEPT_TERMS", source)
    config.cache_clear()
    if "list" in arguments:
        arguments["list"] = str(case / arguments["list"])
    kind = loader().load(source)
    if kind.key:
        monkeypatch.setenv(kind.key.variable, "a-secret")
    spider = kind.from_crawler(Crawler(kind, Settings()), **arguments)
    spider.ledger = LocalLedger(Config(data_dir=tmp_path), source, spider.keywords, spider.arguments.max_images)
    asyncio.run(spider.prepare(spider.ledger.run))
    yield spider
    asyncio.run(spider.ledger.close(Outcome(AttemptState.SUCCEEDED)))
    config.cache_clear()


@pytest.mark.parametrize("case", **named(CASES))
def test_a_source_asks_and_reads_as_recorded(case: Path, spider: ImageSpider) -> None:
    recorded, expected = read(case / "request.json"), read(case / "expected.json")
    assert UNREVIEWED not in expected, "read it, then take out this line"
    look = Look(recorded["keyword"], recorded.get("cursor"), request_of(spider, recorded))
    if "lookup" not in recorded:
        question = {name: recorded[name] for name in ("method", "url", "headers", "body") if name in recorded}
        assert asked(look.request) == question
    read_answer(spider, case, look, is_lookup="lookup" in recorded)
    assert understood(look) == expected


def request_of(spider: ImageSpider, recorded: dict[str, Any]) -> Request:
    if "lookup" in recorded:
        return Request(recorded["url"], meta=recorded["lookup"])
    return spider.page_request(recorded["keyword"], recorded["cursor"])


def read_answer(spider: ImageSpider, case: Path, look: Look, *, is_lookup: bool) -> None:
    """What the crawl would get."""
    try:
        response = checked(answer(case, look.request), spider.handle_httpstatus_list)
        if is_lookup:
            look.items = spider._read(response, spider.read_lookup, look.keyword)
        else:
            look.page = spider._read(response, spider.read_page, look.keyword, look.cursor)
            look.items = look.page.items
    except PixCrawlerError as error:
        look.error = error


def answer(case: Path, request: Request) -> Response:
    """The recorded response in the class Scrapy's downloader would choose; an empty one where nothing is fetched."""
    if not (case / "response.json").exists():
        return Response(request.url, request=request)
    recorded = read(case / "response.json")
    body = (case / recorded["body"]).read_bytes()
    kind = responsetypes.from_args(
        headers=Response("", headers=recorded["headers"]).headers, url=request.url, body=body
    )
    return kind(request.url, recorded["status"], recorded["headers"], body, request=request)


def test_every_source_has_recordings_and_every_recording_a_source() -> None:
    with_items = {case.parent.name for case in CASES if read(case / "expected.json").get("items")}
    folders = {path.name for path in RECORDINGS.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert folders == set(loader().list()) == with_items == {path.stem for path in SOURCES}


@pytest.mark.parametrize("folder", **named(sorted(path for path in RECORDINGS.glob("*/*") if path.is_dir())))
def test_a_recording_is_complete_and_has_nothing_else(folder: Path) -> None:
    files = {path.name for path in folder.iterdir()} - {"request.json", "expected.json"}
    response = folder / "response.json"
    answer = {"response.json", read(response)["body"]} if response.exists() else set()
    listed = {value for name, value in read(folder / "request.json")["arguments"].items() if name == "list"}
    assert files
    assert files == answer | listed


@pytest.mark.parametrize("file", **named(SOURCES))
def test_a_source_is_one_short_file_that_is_named_for_it(file: Path) -> None:
    spider = loader().load(file.stem)
    assert spider.__module__ == f"pixcrawler.spiders.{file.stem}"
    assert spider.__name__.lower() == file.stem.replace("_", "")
    assert len(list(filter(str.strip, file.read_text("utf-8").splitlines()))) <= LONGEST


@pytest.mark.parametrize("file", **named(SOURCES))
def test_a_source_knows_only_the_base_and_its_words(file: Path) -> None:
    tree = list(ast.walk(ast.parse(file.read_text("utf-8"))))
    imported = [node.module for node in tree if isinstance(node, ast.ImportFrom) and not node.level]
    imported += [name.name for node in tree if isinstance(node, ast.Import) for name in node.names]
    ours = {module.partition(".")[2] for module in imported if module and module.split(".")[0] == "pixcrawler"}
    assert ours <= MAY_IMPORT
    assert not any(node.level for node in tree if isinstance(node, ast.ImportFrom))
