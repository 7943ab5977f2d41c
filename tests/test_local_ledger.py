from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.config import Config
from pixcrawler.errors import UsageError
from pixcrawler.items import ImageItem, Inspection
from pixcrawler.jobs import AttemptState, Outcome, Reason, Spent
from pixcrawler.local_ledger import LocalLedger

DONE = Outcome(AttemptState.SUCCEEDED)


def ledger(folder: Path, *keywords: str, asked: int | None = None) -> LocalLedger:
    return LocalLedger(Config(data_dir=folder), "openverse", keywords or ("otter",), asked)


def found(number: int, keyword: str = "otter") -> ImageItem:
    return ImageItem(f"https://example.org/{keyword}/{number}.jpg", "openverse", keyword, width=640, title="Ötter")


def stored(item: ImageItem, number: int) -> ImageItem:
    """The item once it is uploaded; pictures of different numbers look different."""
    phash = int.from_bytes(number.to_bytes(2, "big") * 4, "big") ^ (number * 0x9E3779B97F4A7C15) % 2**64
    sha256 = f"{number:064x}"
    item.inspection = Inspection(sha256, 1000, "jpeg", 320, 240, 1, phash, flat=False)
    item.storage_key = f"images/{sha256[:2]}/{sha256}.jpg"
    return item


def lines(book: LocalLedger) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (book.folder / "manifest.jsonl").read_text("utf-8").splitlines()]


def test_books_every_candidate_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def crawl() -> LocalLedger:
        book = ledger(tmp_path)
        items = [found(n) for n in range(5)]
        assert await book.add_page("otter", [*items, found(0)], 2, None) == items
        assert await book.add_page("otter", items[:2], 3, Spent.EXHAUSTED) == []
        assert await book.keep(stored(items[0], 1)) is None
        assert await book.keep(stored(items[1], 1)) is Reason.DUPLICATE_BYTES
        book.reject(items[2], Reason.TIMEOUT, "20 seconds")
        book.reject(items[2], Reason.HTTP_ERROR)  # already decided
        await book.close(Outcome(AttemptState.LOST, "interrupted"))
        return book

    book = asyncio.run(crawl())
    booked = lines(book)
    assert [line["reason"] for line in booked] == [None, "duplicate_bytes", "timeout", "cancelled", "cancelled"]
    assert booked[0]["file"] == f"images/00/{1:064x}.jpg"
    assert (booked[0]["width"], booked[0]["claimed"], booked[0]["title"]) == (320, {"width": 640}, "Ötter")
    assert (booked[2]["detail"], booked[2]["file"]) == ("20 seconds", None)
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "lost: kept 1; found 5"
    assert "2 cancelled" in said
    assert "interrupted" in said
    assert str(book.folder) in said


def test_keeps_exactly_the_quota(tmp_path: Path) -> None:
    async def crawl() -> list[Reason | None]:
        book = ledger(tmp_path, asked=2)
        items = await book.add_page("otter", [found(n) for n in range(4)], 2, None)
        kept = [await book.keep(stored(item, n)) for n, item in enumerate(items)]
        assert book.missing("otter") == 0
        await book.close(DONE)
        return kept

    assert asyncio.run(crawl()) == [None, None, Reason.OVER_QUOTA, Reason.OVER_QUOTA]


def test_asks_others_for_what_a_spent_keyword_cannot_bring(tmp_path: Path) -> None:
    async def crawl() -> None:
        book = ledger(tmp_path, "otter", "owl", "panda", asked=10)
        assert [book.missing(word) for word in ("otter", "owl", "panda")] == [4, 3, 3]
        [item] = await book.add_page("otter", [found(0)], 2, Spent.EXHAUSTED)
        await book.keep(stored(item, 0))
        assert book.top_up() == {"owl": [], "panda": []}
        assert [book.missing(word) for word in ("otter", "owl", "panda")] == [0, 5, 4]
        await book.mark_spent("owl", Spent.BARREN)
        await book.mark_spent("panda", Spent.CAPPED)
        assert book.top_up() == {}
        assert book.missing("owl") == 5
        await book.close(Outcome(AttemptState.SHORT))

    asyncio.run(crawl())


def test_gives_up_on_a_barren_keyword_unless_all_is_wanted(tmp_path: Path) -> None:
    async def crawl(asked: int | None) -> list[bool]:
        book = ledger(tmp_path, asked=asked)
        items = await book.add_page("otter", [found(n) for n in range(400)], 2, None)
        barren = []
        for n, item in enumerate(items):
            if n in (10, 20, 30):
                await book.keep(stored(item, n))
            else:
                book.reject(item, Reason.HTTP_ERROR)
            barren.append(book.barren("otter"))
        await book.close(DONE)
        return barren

    assert asyncio.run(crawl(50)).index(True) == 310  # two of the last 300
    assert not any(asyncio.run(crawl(None)))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (AttemptState.SUCCEEDED, "over_quota"),
        (AttemptState.SHORT, "over_quota"),
        (AttemptState.FAILED, "abandoned"),
        (AttemptState.DEFERRED, "abandoned"),
        (AttemptState.CANCELLED, "cancelled"),
        (AttemptState.LOST, "cancelled"),
    ],
)
def test_decides_what_is_open_by_the_outcome(tmp_path: Path, state: AttemptState, reason: str) -> None:
    async def crawl() -> LocalLedger:
        book = ledger(tmp_path)
        await book.add_page("otter", [found(0)], 2, None)
        await book.close(Outcome(state))
        return book

    assert [line["reason"] for line in lines(asyncio.run(crawl()))] == [reason]


def test_leaves_no_file_but_those_kept(tmp_path: Path) -> None:
    async def crawl() -> LocalLedger:
        book = ledger(tmp_path, asked=1)
        items = await book.add_page("otter", [found(0), found(1)], 2, None)
        for n, item in enumerate(items):
            path = book.folder / str(stored(item, n).storage_key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"picture")
            await book.keep(item)
        (book.folder / ".unfinished").mkdir()
        (book.folder / ".unfinished" / "half").write_bytes(b"pic")
        await book.close(DONE)
        return book

    book = asyncio.run(crawl())
    left = sorted(path.relative_to(book.folder).as_posix() for path in book.folder.rglob("*"))
    assert left == ["images", "images/00", f"images/00/{0:064x}.jpg", "manifest.jsonl"]


def test_every_crawl_has_a_folder_of_its_own(tmp_path: Path) -> None:
    books = [ledger(tmp_path) for _ in range(3)]
    assert len({book.folder for book in books}) == 3
    for book in books:
        asyncio.run(book.close(DONE))


def test_a_folder_that_cannot_be_written_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "crawls").write_text("a file")
    with pytest.raises(UsageError, match="PIXCRAWLER_DATA_DIR cannot be written"):
        ledger(tmp_path)


@given(
    detail=st.text(),
    title=st.text(alphabet=st.characters(exclude_categories=())),
)
def test_whatever_the_texts_every_line_is_json(
    tmp_path_factory: pytest.TempPathFactory, detail: str, title: str
) -> None:
    async def crawl() -> LocalLedger:
        book = ledger(tmp_path_factory.mktemp("crawl"))
        item = found(0)
        item.title = title
        await book.add_page("otter", [item], 2, None)
        book.reject(item, Reason.DAMAGED, detail)
        await book.close(DONE)
        return book

    book = asyncio.run(crawl())
    assert (book.folder / "manifest.jsonl").read_bytes().count(b"\n") == 1
    assert lines(book)[0]["reason"] == "damaged"


def test_what_had_no_room_makes_up_for_a_keyword_that_comes_short(tmp_path: Path) -> None:
    async def crawl() -> tuple[dict[str, list[ImageItem]], list[Reason | None]]:
        book = ledger(tmp_path, "otter", "owl", asked=4)
        many = await book.add_page("otter", [found(n) for n in range(4)], 2, Spent.EXHAUSTED)
        [one] = await book.add_page("owl", [found(9, "owl")], 2, Spent.EXHAUSTED)
        decisions = [await book.keep(stored(item, n)) for n, item in enumerate([*many[:3], one])]
        again = book.top_up()
        decisions += [await book.keep(stored(item, 5)) for item in again["otter"]]
        await book.close(DONE)
        return again, decisions

    again, decisions = asyncio.run(crawl())
    assert [item.url for item in again["otter"]] == [found(2).url]
    assert decisions == [None, None, Reason.OVER_QUOTA, None, None]
