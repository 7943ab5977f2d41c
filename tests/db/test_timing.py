"""Percentiles of statements that need no memory of each."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from pixcrawler.db import engine, timing


@given(st.lists(st.floats(1e-6, 100), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_right_to_a_tenth(durations: list[float], share: float) -> None:
    timings = timing.Timings()
    for seconds in durations:
        timings.add(seconds)
    exact = sorted(durations)[max(0, -int(-share * len(durations) // 1) - 1)]
    assert timings.within(share) == pytest.approx(exact, rel=timing.STEP - 1 + 1e-9)


def test_nothing_takes_no_time() -> None:
    assert str(timing.Timings()) == "0 statements, 95 % within 0 ms"


def test_statements_are_timed(database_url: str) -> None:
    async def story() -> timing.Timings:
        ours = engine.create(database_url, application_name="test", pool_size=1)
        timings = timing.measure(ours)
        try:
            async with engine.transaction(ours) as connection:
                await connection.execute(text("SELECT 1"))
                await connection.execute(text("SELECT pg_sleep(0.2)"))
        finally:
            await ours.dispose()
        return timings

    timings = asyncio.run(story())
    assert timings.number == 2
    assert timings.within(0.5) < 0.2 <= timings.within(1)
