"""The rights policy of a job: laid down at its claim, told to its runs."""

import pytest
from worlds import bring, pictures


def test_a_job_without_a_policy_takes_any(world):
    job = world.insert(["cat"])
    world.tick()
    assert world.sql("SELECT options->>'rights' FROM crawler.jobs WHERE id = %s", (job,)) == [("any",)]


def test_its_runs_know_the_policy(world):
    world.insert(["cat"], options={"sources": ["openverse"], "rights": "commercial"})
    world.tick(2)

    async def play(book):
        run = await book.open()
        return run.options["rights"]

    assert world.crawl("1-1", play) == "commercial"


def test_a_kept_picture_has_our_id_beside_the_sources_words(world):
    job = world.insert(["cat"], 2)
    world.tick(2)
    known, unknown = pictures(1, 2)
    known.license, known.license_url = "by 4.0", "https://creativecommons.org/licenses/by/4.0/deed.de"
    unknown.license = "free"

    async def play(book):
        await book.open()
        await bring(book, [known, unknown])

    world.crawl("1-1", play)
    rows = world.sql(
        "SELECT metadata->>'license_id', metadata->>'license' FROM public.images WHERE crawl_job_id = %s ORDER BY id",
        (job,),
    )
    assert rows == [("CC-BY-4.0", "by 4.0"), (None, "free")]


@pytest.mark.parametrize("rights", ["free", "", "Commercial", None, 7, ["any"]])
def test_an_unknown_policy_fails_the_job_in_one_line(world, rights):
    job = world.insert(["cat"], options={"rights": rights})
    other = world.insert(["cat"])
    world.tick()
    assert world.job(job)["status"] == "failed"
    [(_, _, message)] = world.notices()
    assert "rights: expected any, known, commercial, derivatives, public-domain, got " in message
    assert "\n" not in message
    assert world.job(other)["status"] == "running"
