"""Patience: with what, how long, and what is said when it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pixcrawler.errors import StorageFailed
from pixcrawler.storage import retries
from pixcrawler.storage.retries import Again, patiently, wanted_pause


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", made.append)
    return made


def test_pauses_grow_and_end_in_one_line(pauses: list[float]) -> None:
    def work() -> None:
        raise Again("the store answers 503")

    with pytest.raises(StorageFailed, match=r"^the store answers 503, 8 times: a/b$"):
        patiently(work, "a/b")
    assert len(pauses) == 7
    limits = [min(0.5 * 2**n, retries.LONGEST_PAUSE) for n in range(7)]
    assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses, limits, strict=True))


@pytest.mark.parametrize(("asked", "pause"), [(3, 3), (3_600, retries.LONGEST_PAUSE)])
def test_the_store_may_ask_for_a_longer_pause_within_reason(pauses: list[float], asked: int, pause: float) -> None:
    answers = iter([Again("busy", asked), None])

    def work() -> str:
        answer = next(answers)
        if answer:
            raise answer
        return "done"

    assert patiently(work, "a/b") == "done"
    assert pauses == [pause]


def test_what_does_not_pass_is_not_tried_again(pauses: list[float]) -> None:
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: 1 / 0, "a/b")
    assert pauses == []


def test_a_wish_for_a_pause_is_seconds_or_a_time() -> None:
    assert wanted_pause({}) == wanted_pause({"Retry-After": "soon"}) == 0
    assert wanted_pause({"Retry-After": "17"}) == 17
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3_500 < wanted_pause({"Retry-After": later}) <= 3_600
