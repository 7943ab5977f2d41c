"""The job's option `quality`."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("options", "preset"), [(None, "standard"), ({"quality": None}, "standard"), ({"quality": "strict"}, "strict")]
)
def test_a_job_is_claimed_with_a_preset(world, options, preset):
    job = world.insert(["cat"], options=options)
    world.tick()
    assert world.sql("SELECT options->>'quality' FROM crawler.jobs WHERE id = %s", (job,)) == [(preset,)]


@pytest.mark.parametrize("name", ["harsh", 7, ["strict"]])
def test_a_job_with_an_unknown_preset_fails_and_says_so(world, name):
    job = world.insert(["cat"], options={"quality": name})
    world.tick()
    assert world.job(job)["status"] == "failed"
    complaint = f"quality: there is no preset {str(name)!r}; there are lenient, standard, strict"
    assert complaint in world.notices()[0][2]
