"""Whom not to ask, and for how long."""

from __future__ import annotations

import pytest
from scrapy.http import Response

from pixcrawler import pauses
from pixcrawler.items import host_of
from pixcrawler.jobs import Reason
from pixcrawler.ledger import Pause
from pixcrawler.pauses import HostPaused, Pauses


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pauses, "time", clock)
    return clock


def test_a_pause_ends(clock: Clock) -> None:
    known = Pauses()
    assert not known.knows("a.test")
    assert known.left("a.test") == 0
    known.asked_for("a.test", Pause(5, "answers 429"))
    assert known.take_news() == {"a.test": Pause(5, "answers 429")}
    assert (known.left("a.test"), known.is_short("a.test"), known.hosts) == (5, True, {"a.test"})
    assert known.left("b.test") == 0
    clock.now += 5
    assert (known.left("a.test"), known.is_short("a.test"), known.hosts) == (0, False, set())
    assert known.knows("a.test")


def test_only_a_long_pause_is_refused(clock: Clock) -> None:
    known = Pauses()
    known.asked_for("a.test", Pause(60, "answers 429"))
    known.refuse_long("a.test")
    known.asked_for("b.test", Pause(61, "answers 429"))
    with pytest.raises(HostPaused, match="answers 429; 61 s are left") as refused:
        known.refuse_long("b.test")
    assert (refused.value.reason, refused.value.seconds) == (Reason.PAUSED, 61)
    assert not known.is_short("b.test")
    clock.now += 2
    known.refuse_long("b.test")


def test_many_answers_at_once_are_one_pause(clock: Clock) -> None:
    known = Pauses()
    known.asked_for("a.test", Pause(5, "answers 429"))
    assert known.take_news()
    clock.now += 0.5
    known.asked_for("a.test", Pause(5, "answers 429"))
    assert not known.take_news()
    assert known.left("a.test") == 5
    known.asked_for("a.test", Pause(30, "answers 429"))
    assert known.take_news() == {"a.test": Pause(30, "answers 429")}  # others must know
    known.asked_for("a.test", Pause(1, "answers 429"))
    assert not known.take_news()
    assert known.left("a.test") == 30


def test_who_asks_again_and_again_is_waited_for_longer_each_time(clock: Clock) -> None:
    known, waited = Pauses(), []
    while not waited or waited[-1] <= 60:
        known.asked_for("a.test", Pause(1, "answers 429"))
        waited.append(known.left("a.test"))
        clock.now += waited[-1]
    assert waited == [1, 2, 4, 8, 16, 32, 64]
    known.answered("a.test")
    known.asked_for("a.test", Pause(1, "answers 429"))
    assert known.left("a.test") == 1


def test_no_pause_is_longer_than_a_day(clock: Clock) -> None:
    known = Pauses()
    for _ in range(2000):
        known.asked_for("a.test", Pause(3600, "answers 429"))
        clock.now += known.left("a.test")
    known.asked_for("a.test", Pause(3600, "answers 429"))
    assert known.left("a.test") == 86400


def test_an_answer_from_before_the_pause_says_nothing(clock: Clock) -> None:
    known = Pauses()
    known.asked_for("a.test", Pause(4, "answers 429"))
    known.answered("a.test")
    clock.now += 4
    known.asked_for("a.test", Pause(4, "answers 429"))
    assert known.left("a.test") == 8


def test_hears_of_the_longer_pause(clock: Clock) -> None:
    known = Pauses()
    known.heard_of("a.test", Pause(50, "answers 503"))
    known.heard_of("a.test", Pause(10, "answers 429"))
    assert known.left("a.test") == 50
    assert known.knows("a.test")


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {}, 30),
        (429, {"Retry-After": "5"}, 5),
        (503, {"Retry-After": "1"}, 1),
        (429, {"X-RateLimit-Reset": "17"}, 17),
        (429, {"X-RateLimit-Reset": "soon"}, 30),
        (429, {"X-RateLimit-Reset": "1500000000"}, 1),  # a moment of the past
        (429, {"Retry-After": "5", "X-RateLimit-Reset": "17"}, 5),
    ],
)
def test_heeds_who_asks(clock: Clock, status: int, headers: dict[str, str], seconds: float) -> None:
    known = Pauses()
    known.heed("a.test", Response("https://a.test/", status, headers=headers))
    assert known.take_news() == {"a.test": Pause(seconds, f"answers {status} and wants a pause")}


@pytest.mark.parametrize(("status", "headers"), [(503, {}), (500, {"Retry-After": "1"}), (200, {}), (404, {})])
def test_knows_who_does_not_ask(status: int, headers: dict[str, str]) -> None:
    known = Pauses()
    known.heed("a.test", Response("https://a.test/", status, headers=headers))
    assert not known.knows("a.test")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.test:8080/x", "a.test"),
        ("http://a.test./", "a.test"),
        ("http://[::1]:9/", "::1"),
        ("http://[bad/", ""),
        ("nothing", ""),
    ],
)
def test_a_host_has_one_name(url: str, host: str) -> None:
    assert host_of(url) == host
