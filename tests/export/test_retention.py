"""Retention: what moves, what goes, and what never does."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packing import doing, exports, extended, files, packed, path_of
from worlds import World

from pixcrawler.db import retiring
from pixcrawler.export.loop import Exporter
from pixcrawler.jobs import PACKED_FORMATS, ExportFormat, Tier, tier_of


def keep_to_rules(world: World, **rules: Any) -> None:
    """An exporter's hour."""

    async def work() -> None:
        exporter = Exporter(world.settings.database_url.get_secret_value(), world.settings.model_copy(update=rules))
        try:
            await exporter.retire_next()
            while await exporter.build_next():
                pass
        finally:
            await exporter.close()

    asyncio.run(work())


def age(world: World, days: int, where: str = "true") -> None:
    world.sql(f"UPDATE crawler.exports SET ended_at = now() - make_interval(days => {days}) WHERE {where}")


def test_earlier_versions_stay_until_their_time_is_over(world: World) -> None:
    job = packed(world)
    extended(world, job, 5)
    assert exports(world) == [("zip", "hot", "done")] * 2
    assert world.sql("SELECT version, pictures FROM crawler.exports ORDER BY id") == [(1, 3), (2, 5)]
    age(world, 100, "version = 1")
    keep_to_rules(world, temporary_days=30)
    assert exports(world) == [("zip", "hot", "done")] * 2  # it was superseded today
    age(world, 40, "version = 2")
    keep_to_rules(world)
    assert exports(world) == [("zip", "hot", "done")] * 2  # no rule, for ever
    keep_to_rules(world, temporary_days=30)
    assert exports(world) == [("zip", "hot", "removed"), ("zip", "hot", "done")]
    assert [key for key in files(world, job) if "/exports/" in key] == [f"jobs/{job}/exports/2.1/dataset.zip"]
    assert world.sql("SELECT key FROM crawler.exports ORDER BY id")[0] == (None,)


def test_datasets_cool_down(world: World) -> None:
    job = packed(world)
    keep_to_rules(world, warm_after_days=7)
    assert exports(world) == [("zip", "hot", "done")]
    age(world, 8)
    keep_to_rules(world, warm_after_days=7)
    assert exports(world) == [("zip", "hot", "removed"), ("7z", "warm", "done")]
    assert not [key for key in files(world, job) if "/exports/" in key]
    age(world, 100)
    keep_to_rules(world, warm_after_days=7, temporary_days=7)
    assert exports(world) == [("zip", "hot", "removed"), ("7z", "warm", "done")]
    assert len(files(world, job, Tier.WARM)) == 1


def test_lists_go_that_no_unfinished_job_needs(world: World) -> None:
    for name in ("needed", "done-with", "young"):
        path = path_of(world, f"lists/{name}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("https://pictures.example/1.jpg\n")
        if name != "young":
            os.utime(path, (0, 0))
    world.insert(["cat"], options={"sources": ["urls"], "list": "lists/needed.txt"})
    keep_to_rules(world)
    assert path_of(world, "lists/done-with.txt").exists()
    keep_to_rules(world, temporary_days=30)
    left = sorted(path.stem for path in path_of(world, "lists").iterdir())
    assert left == ["needed", "young"]


ROW = st.tuples(
    st.sampled_from(list(ExportFormat)),
    st.integers(1, 3),  # generation
    st.sampled_from([{}, {"max_side": 64}, {"sources": ["openverse"]}]),
    st.booleans(),  # awaited
    st.sampled_from(["done", "failed"]),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_whatever_is_retired_a_whole_dataset_stays(world: World, rows: list[Any], random: Any) -> None:
    asked = {"max_side": 64}
    world.sql("TRUNCATE crawler.jobs CASCADE")
    world.sql(
        "INSERT INTO crawler.jobs (id, state, keywords, asked, options) VALUES (1, 'completed', '[]', 1, %s)",
        (json.dumps({"export": asked}),),
    )
    for version, (kind, generation, options, awaited, state) in enumerate(rows, 1):
        world.sql(
            "INSERT INTO crawler.exports (job, generation, version, format, tier, options, awaited, state, key, size,"
            " sha256) VALUES (1, %s, %s, %s, %s, %s, %s, %s, 'k', 1, 's')",
            (generation, version, kind, tier_of(kind), json.dumps(options), awaited, state),
        )

    def whole() -> list[int]:
        done = world.sql("SELECT version, format, options FROM crawler.exports WHERE state = 'done'")
        return [
            rows[version - 1][1] for version, kind, options in done if kind in PACKED_FORMATS and options in ({}, asked)
        ]

    before = whole()
    ids = [id_ for (id_,) in world.sql("SELECT id FROM crawler.exports")]
    random.shuffle(ids)

    async def retire_all(connection: Any) -> None:
        for export in ids:
            await retiring.retire(connection, export)

    doing(world, retire_all)
    assert bool(whole()) == bool(before)
    if before:
        assert max(whole()) == max(before)
    else:
        lost = world.sql("SELECT count(*) FROM crawler.exports WHERE state = 'removed' AND awaited")
        assert lost == [(0,)]
