"""What recordings cannot show of a list: several pages, several keywords, a list that comes from storage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scrapy.http import Response

from pixcrawler.base_spiders import Page
from pixcrawler.config import Config
from pixcrawler.errors import UsageError
from pixcrawler.jobs import AttemptState, Outcome, Slice, Spent
from pixcrawler.ledger import Run
from pixcrawler.local_ledger import LocalLedger
from pixcrawler.spiders.urls import Urls

LOCAL_PAGE = Response("https://local.invalid/")


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Callable[..., Urls]]:
    """Makes a spider that is ready to read its first page."""
    spiders: list[Urls] = []

    def begin(content: str, **arguments: str) -> Urls:
        file = tmp_path / "list.csv"
        file.write_text(content)
        spider = Urls(list=str(file), **arguments)
        spiders.append(spider)
        spider.ledger = LocalLedger(Config(data_dir=tmp_path), "urls", spider.keywords, spider.arguments.max_images)
        asyncio.run(spider.prepare(spider.ledger.run))
        return spider

    yield begin
    for spider in spiders:
        asyncio.run(spider.ledger.close(Outcome(AttemptState.SUCCEEDED)))


def read(spider: Urls, keyword: str, cursor: int = 0) -> Page:
    return spider.read_page(LOCAL_PAGE, keyword, cursor)


def names(page: Page) -> list[str]:
    return [item.url.removeprefix("https://images.example/") for item in page.items]


def listed(rows: list[str]) -> str:
    return "url,keyword\n" + "".join(f"https://images.example/{row}\n" for row in rows)


def test_a_page_is_a_thousand_lines_and_the_next_goes_on(begun):
    spider = begun(listed([f"{i}," for i in range(2_000)]))
    first = read(spider, "list")
    second = read(spider, "list", first.cursor)
    last = read(spider, "list", second.cursor)
    assert names(first) == [str(i) for i in range(1_000)]
    assert names(second) == [str(i) for i in range(1_000, 2_000)]
    assert [(page.cursor, page.spent) for page in (first, second, last)] == [
        (1_000, None),
        (2_000, None),
        (2_000, Spent.EXHAUSTED),
    ]


def test_a_page_asked_for_again_or_out_of_turn_is_the_same(begun):
    spider = begun(listed([f"{i}," for i in range(1_500)]))
    page = read(spider, "list", 1_000)
    assert names(page) == names(read(spider, "list", 1_000)) == [str(i) for i in range(1_000, 1_500)]
    assert names(read(spider, "list", 0)) == [str(i) for i in range(1_000)]


def test_keywords_read_the_list_each_for_itself(begun):
    rows = ["1,panda", "2,otter", "3,", "4,PANDA ", "5,zebra"]
    spider = begun(listed(rows), keywords="otter,panda")
    assert names(read(spider, "panda")) == ["1", "3", "4"]
    assert names(read(spider, "otter")) == ["2", "3"]
    assert {item.keyword for item in read(spider, "panda").items} == {"panda"}


def test_one_keyword_leaves_lines_to_the_others(begun):
    spider = begun(listed([f"{i}," for i in range(40)]), keywords="otter,panda", max_images="40")
    page = read(spider, "otter")
    assert (names(page), page.cursor, page.spent) == ([str(i) for i in range(20)], 20, None)


def test_another_keywords_lines_do_not_make_a_page_longer_to_find(begun):
    spider = begun(listed(["0,otter"] * 1_500 + ["1,panda"]), keywords="otter,panda", max_images="2")
    first = read(spider, "panda")
    assert (names(first), first.cursor, first.spent) == ([], 1_000, None)
    second = read(spider, "panda", first.cursor)
    assert (names(second), second.cursor, second.spent) == (["1"], 1_501, Spent.EXHAUSTED)


def test_without_keywords_every_line_is_taken(begun):
    spider = begun(listed(["1,panda", "2,otter", "3,"]))
    assert names(read(spider, "list")) == ["1", "2", "3"]


def test_a_job_reads_its_list_from_storage_and_leaves_no_copy(tmp_path):
    async def stored_file(key: str) -> bytes:
        assert key == "jobs/7/list.csv"
        return listed(["1,panda", "2,otter"]).encode()

    spider = Urls(_job="12-1")
    spider.stored_file = stored_file
    run = Run("12-1", {"otter": Slice(5)}, "jobs/7", {"list": "jobs/7/list.csv"})
    spider.ledger = LocalLedger(Config(data_dir=tmp_path), "urls", ["otter"], 5)
    asyncio.run(spider.prepare(run))
    copy = spider.file
    assert names(read(spider, "otter")) == ["2"]
    spider.closed("finished")
    assert not copy.parent.exists()
    asyncio.run(spider.ledger.close(Outcome(AttemptState.SUCCEEDED)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.txt", "", "list.txt: the list is empty"),
        ("list.txt", "no list at all", "list.txt: not a list: no address at its beginning"),
        ("list.csv", "name\nhttps ://", "list.csv: no column of addresses among: name"),
        ("list.html", "<html>", "list.html: not a list; lists are .txt, .csv, .tsv, .jsonl (also .gz) and .parquet"),
    ],
)
def test_a_bad_list_is_refused_before_anything_starts(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError) as caught:
        Urls(list=str(tmp_path / name))
    assert str(caught.value) == message


def test_a_column_that_is_not_there_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "list.csv").write_text("url\nhttps://images.example/1\n")
    with pytest.raises(UsageError, match=r"list\.csv: no column 'Bild' among: url"):
        Urls(list=str(tmp_path / "list.csv"), url_column="Bild")
