from __future__ import annotations

from threading import Barrier, Lock

import pytest

from pixcrawler.export.reading import ahead


def test_things_are_worked_on_together_and_come_in_order() -> None:
    together = Barrier(3, timeout=60)

    def work(number: int) -> int:
        together.wait()
        return number

    assert list(ahead(work, range(9), threads=3)) == list(range(9))


def test_no_more_are_held_than_there_are_threads() -> None:
    held, most, lock = 0, 0, Lock()

    def work(number: int) -> int:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return number

    for _ in ahead(work, range(50), threads=3):
        with lock:
            held -= 1
    assert most <= 3


def test_an_error_comes_in_its_place() -> None:
    def work(number: int) -> int:
        return number + 0 // (2 - number)

    coming = ahead(work, range(9), threads=3)
    assert [next(coming), next(coming)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(coming)
