import gzip
import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MORE = ["jobs", "extend", "--max-images=30"]


@pytest.fixture
def finished(sql: Any) -> int:
    """A completed job of two runs that found ten images and kept six of the eight asked for."""
    ((job,),) = sql(
        "INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images, status, progress, valid_images)"
        " SELECT id, 'Pandas [red]', '[\"red panda\"]', 8, 'completed', 100, 6 FROM public.projects RETURNING id"
    )
    sql(
        "INSERT INTO crawler.jobs"
        " (id, owner, state, keywords, requested, asked, kept, charged, outcome, reason, name)"
        " SELECT %s, id, 'completed', '[\"red panda\"]', 8, 8, 6, 6, 'short', 'openverse: had no more',"
        " 'Pandas [red]' FROM public.profiles",
        [job],
    )
    for source, kept, reasons in (("openverse", 4, {"too_small": 2, "timeout": 1}), ("urls", 2, {"damaged": 1})):
        funnel = {"found": kept + sum(reasons.values()), "kept": kept, "reasons": reasons}
        ((run,),) = sql(
            "INSERT INTO crawler.runs (job, generation, source, slices, state, outcome, funnel)"
            " VALUES (%s, 1, %s, %s, 'short', 'had no more', %s) RETURNING id",
            [job, source, json.dumps({"red panda": {"quota": 4, "cursor": 3, "spent": None}}), json.dumps(funnel)],
        )
        sql(
            "INSERT INTO crawler.attempts (run, attempt, job, node, state, decided, reason)"
            " VALUES (%s, 1, %s, '127.0.0.1:6800', 'short', 7, 'had no more')",
            [run, job],
        )
        for decision, number in {"kept": kept, **reasons}.items():
            sql(
                "INSERT INTO crawler.candidates (run, url_key, job, keyword, item, decision)"
                " SELECT %(run)s, %(run)s || %(decision)s || n, %(job)s, 'red panda', '{}', %(decision)s"
                " FROM generate_series(1, %(number)s) n",
                {"run": run, "job": job, "decision": decision, "number": number},
            )
    return int(job)


@pytest.fixture
def dataset(sql: Any, finished: int, data_dir: Path) -> bytes:
    """The finished job's dataset, in storage."""
    body = b"PK the dataset"
    path = data_dir / "storage" / "jobs" / str(finished) / "exports" / "1" / "dataset.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(body)
    sql(
        "INSERT INTO crawler.exports (job, generation, version, format, tier, awaited, state, key, size, sha256)"
        " VALUES (%s, 1, 1, 'zip', 'hot', true, 'done', %s, %s, %s)",
        [finished, f"jobs/{finished}/exports/1/dataset.zip", len(body), hashlib.sha256(body).hexdigest()],
    )
    return body


def create(cli: Any, **options: object) -> Any:
    given = {"keywords": "red panda, otter", "max-images": 20, **options}
    return cli("jobs", "create", *(f"--{name}={value}" for name, value in given.items()))


# -- create


def test_create_inserts_a_pending_job(cli: Any, sql: Any) -> None:
    result = create(cli)
    assert result.status == 0
    ((job, name, keywords, wanted, status),) = sql(
        "SELECT id, name, keywords, max_images, status FROM public.crawl_jobs"
    )
    assert (name, keywords, wanted, status) == ("red panda, otter", ["red panda", "otter"], 20, "pending")
    assert f"pixcrawler jobs watch {job}" in result.out
    assert sql("SELECT count(*) FROM crawler.jobs") == [(0,)]  # no options: the configured defaults


def test_create_lays_down_the_sources(cli: Any, sql: Any) -> None:
    result = cli("jobs", "create", "--keywords=otter", "--max-images=5", "--sources=openverse", "--name=Mine", "--json")
    job = json.loads(result.out)["id"]
    assert sql("SELECT name FROM public.crawl_jobs") == [("Mine",)]
    assert sql("SELECT id, state, options FROM crawler.jobs") == [(job, "pending", {"sources": ["openverse"]})]


def test_create_lays_down_the_rights_policy(cli: Any, sql: Any) -> None:
    assert create(cli, rights="public-domain").status == 0
    assert sql("SELECT options FROM crawler.jobs") == [({"rights": "public-domain"},)]


def test_create_lays_down_the_formats(cli: Any, sql: Any) -> None:
    options = ["--format=zip", "--format=7z", "--format=zip", "--max-side=256", "--split=train=.8,test=.2"]
    assert cli("jobs", "create", "--keywords=otter", "--max-images=5", *options).status == 0
    [(laid_down,)] = sql("SELECT options FROM crawler.jobs")
    assert laid_down["formats"] == ["zip", "7z"]
    assert laid_down["export"]["max_side"] == 256
    assert set(laid_down["export"]) == {"max_side", "split"}


def test_create_lays_down_the_quality(cli: Any, sql: Any) -> None:
    assert create(cli, quality="strict").status == 0
    assert sql("SELECT options FROM crawler.jobs") == [({"quality": "strict"},)]


@pytest.mark.parametrize("name", ["list.txt", "list.txt.gz", "LIST.CSV"])
def test_create_puts_the_list_into_storage(cli: Any, sql: Any, tmp_path: Path, data_dir: Path, name: str) -> None:
    body = b"url\nhttps://pictures.example/1.jpg\n"
    body = gzip.compress(body) if name.endswith("gz") else body
    (tmp_path / name).write_bytes(body)
    assert create(cli, list=tmp_path / name).status == 0
    [(options,)] = sql("SELECT options FROM crawler.jobs")
    key = options.pop("list")
    assert options == {"sources": ["urls"]}
    assert re.fullmatch(rf"lists/[0-9a-f]{{32}}{re.escape(name.lower().removeprefix('list'))}", key)
    assert (data_dir / "storage" / key).read_bytes() == body


WRONG = {
    "no keywords": ({"keywords": ""}, "keywords"),
    "an empty keyword": ({"keywords": "otter,,panda"}, "keywords"),
    "a control character": ({"keywords": "ot\x07ter"}, "keywords"),
    "a keyword twice": ({"keywords": "otter,Otter"}, "twice"),
    "no images": ({"max-images": 0}, "max_images"),
    "fewer than none": ({"max-images": -3}, "max_images"),
    "no number": ({"max-images": "many"}, "--max-images"),
    "too many": ({"max-images": 10**9}, "max_images"),
    "an unknown format": ({"format": "rar"}, "rar"),
    "an impossible size": ({"max-side": 0}, "max_side"),
    "an unknown source": ({"sources": "openverse,flickrr"}, "flickrr"),
    "an empty source": ({"sources": ""}, "sources: unknown"),
    "urls without a list": ({"sources": "urls"}, "needs a list"),
    "an unknown policy": ({"rights": "free"}, "rights: expected any, known"),
    "an unknown preset": ({"quality": "harsh"}, "no preset 'harsh'"),
    "an unknown project": ({"project": 4711}, "4711"),
    "a long name": ({"name": "x" * 101}, "name: expected 1 to 100"),
    "a missing list": ({"list": "nowhere.txt"}, "nowhere.txt"),
    "a folder as list": ({"list": "folder.txt"}, "folder.txt"),
    "an empty list": ({"list": "empty.txt"}, "empty.txt"),
    "something else as list": ({"list": "page.txt"}, "page.txt"),
    "an unknown option": ({"colour": "red"}, "--colour"),
}


@pytest.mark.parametrize("case", WRONG)
def test_create_refuses_in_one_line(
    cli: Any, sql: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "empty.txt").touch()
    (tmp_path / "page.txt").write_text("<!doctype html><title>Not found</title>")
    options, named = WRONG[case]
    result = create(cli, **options)
    assert (result.status, result.out) == (2, "")
    assert named in result.err
    assert result.err.startswith("pixcrawler: ")
    assert result.err.count("\n") == 1
    assert sql("SELECT count(*) FROM public.crawl_jobs") == [(0,)]


def test_create_wants_to_know_which_of_several_projects(cli: Any, sql: Any) -> None:
    ((second,),) = sql(
        "INSERT INTO public.projects (name, user_id) SELECT 'Other', user_id FROM public.projects RETURNING id"
    )
    refused = create(cli)
    assert (refused.status, "project: say which" in refused.err) == (2, True)
    assert create(cli, project=second).status == 0
    assert sql("SELECT project_id FROM public.crawl_jobs") == [(second,)]


# -- list, show


def test_list_shows_claimed_and_unclaimed_jobs(cli: Any, finished: int) -> None:
    create(cli, name="Waiting")
    waiting, done = json.loads(cli("jobs", "list", "--json").out)
    assert (waiting["name"], waiting["status"], waiting["asked"], waiting["kept"]) == ("Waiting", "pending", 20, 0)
    assert (done["id"], done["status"], done["asked"], done["kept"]) == (finished, "completed", 8, 6)
    out = cli("jobs", "list").out
    assert "Waiting" in out
    assert "Pandas [red]" in out


def test_list_of_nothing(cli: Any) -> None:
    assert json.loads(cli("jobs", "list", "--json").out) == []
    assert cli("jobs", "list").status == 0


def test_show_tells_everything(cli: Any, finished: int, dataset: bytes) -> None:
    seen = json.loads(cli("jobs", "show", finished, "--json").out)
    assert seen["job"]["outcome"] == "short"
    assert seen["funnel"] == {"found": 10, "kept": 6, "reasons": {"too_small": 2, "damaged": 1, "timeout": 1}}
    assert [(r["source"], r["found"], r["kept"], r["asked"]) for r in seen["runs"]] == [
        ("openverse", 7, 4, 4),
        ("urls", 3, 2, 4),
    ]
    assert [a["node"] for a in seen["attempts"]] == ["127.0.0.1:6800"] * 2
    assert [(e["state"], e["size"]) for e in seen["exports"]] == [("done", len(dataset))]


def test_show_is_readable(cli: Any, finished: int, dataset: bytes) -> None:
    out = cli("jobs", "show", finished).out
    assert out.startswith(f"Job {finished} 'Pandas [red]': completed (short), 6 of 8 images kept: openverse: had no")
    for word in ("openverse", "urls", "too_small", "damaged", "zip", "127.0.0.1:6800"):
        assert word in out


def test_what_others_wrote_cannot_move_the_cursor(cli: Any, sql: Any, finished: int) -> None:
    sql("UPDATE public.crawl_jobs SET name = %s, keywords = %s", ["\x1b[2Jwiped", '["\\u001b[31mred"]'])
    assert "\x1b" not in cli("jobs", "list").out + cli("jobs", "show", finished).out


def test_shows_a_job_whose_keywords_are_none(cli: Any, sql: Any) -> None:
    ((job,),) = sql(
        "INSERT INTO public.crawl_jobs (project_id, name, keywords) SELECT id, 'odd', '17' FROM public.projects"
        " RETURNING id"
    )
    assert json.loads(cli("jobs", "show", job, "--json").out)["job"]["keywords"] == 17
    assert cli("jobs", "show", job).status == 0


@pytest.mark.parametrize(
    "command",
    [["jobs", "show"], ["jobs", "watch"], ["jobs", "cancel"], ["jobs", "retry"], MORE, ["export"]],
    ids=" ".join,
)
@pytest.mark.parametrize("job", ["4711", "0", "99999999999", "otter"])
def test_an_unknown_job_is_one_line(cli: Any, command: list[str], job: str) -> None:
    result = cli(*command, job)
    assert (result.status, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert job in result.err or "'ID'" in result.err


# -- cancel


def test_cancel_leaves_the_wish_to_the_dispatcher(cli: Any, sql: Any) -> None:
    job = json.loads(cli("jobs", "create", "--keywords=otter", "--max-images=5", "--sources=openverse", "--json").out)[
        "id"
    ]
    assert json.loads(cli("jobs", "cancel", job, "--json").out) == {"id": job, "before": "pending"}
    assert sql("SELECT status FROM public.crawl_jobs") == [("cancelled",)]
    assert cli("jobs", "cancel", job).status == 0  # once more is harmless


def test_cancel_of_an_ended_job_is_refused(cli: Any, sql: Any, finished: int) -> None:
    result = cli("jobs", "cancel", finished)
    assert (result.status, result.err) == (
        2,
        f"pixcrawler: job {finished} cannot be cancelled: it is completed\n",
    )
    assert sql("SELECT status FROM public.crawl_jobs") == [("completed",)]


# -- retry, extend


def test_retry_takes_up_a_job_that_came_short(cli: Any, sql: Any, finished: int) -> None:
    assert json.loads(cli("jobs", "retry", finished, "--json").out) == {"id": finished, "generation": 2}
    assert sql("SELECT status, progress FROM public.crawl_jobs") == [("running", 74)]
    assert json.loads(cli("jobs", "show", finished, "--json").out)["job"]["state"] == "crawling"
    again = cli("jobs", "retry", finished)
    assert (again.status, again.out) == (2, "")
    assert again.err == f"pixcrawler: job {finished} cannot be retried: it is crawling\n"


def test_retry_of_a_full_job_names_the_other_way(cli: Any, sql: Any, finished: int) -> None:
    sql("UPDATE crawler.jobs SET requested = 6, asked = 6, outcome = 'full', reason = NULL")
    refused = cli("jobs", "retry", finished)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == f"pixcrawler: job {finished} is complete: nothing is missing (extend asks for more)\n"
    assert sql("SELECT status FROM public.crawl_jobs") == [("completed",)]


def test_extend_asks_for_more(cli: Any, sql: Any, finished: int) -> None:
    result = cli("jobs", "extend", finished, "--max-images=20")
    assert (result.status, result.err) == (0, "")
    assert f"pixcrawler jobs watch {finished}" in result.out
    assert sql("SELECT status, max_images FROM public.crawl_jobs") == [("running", 20)]
    assert sql("SELECT state, asked, generation FROM crawler.jobs") == [("crawling", 20, 2)]


@pytest.mark.parametrize("more", ["8", "0", "-1", "many", 10**9])
def test_extend_to_what_is_no_more_is_refused(cli: Any, sql: Any, finished: int, more: object) -> None:
    result = cli("jobs", "extend", finished, f"--max-images={more}")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert "max_images" in result.err or "--max-images" in result.err
    assert sql("SELECT state, asked, generation FROM crawler.jobs") == [("completed", 8, 1)]


@pytest.mark.parametrize("command", [["jobs", "retry"], MORE], ids=" ".join)
def test_a_job_that_waits_cannot_be_taken_up_again(cli: Any, sql: Any, command: list[str]) -> None:
    create(cli)
    ((job,),) = sql("SELECT id FROM public.crawl_jobs")
    result = cli(*command, job)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "has not begun" in result.err


# -- watch


def test_watch_of_a_job_that_came_short_fails(cli: Any, finished: int) -> None:
    result = cli("jobs", "watch", finished)
    assert (result.status, result.err) == (1, "")
    assert "completed (short), 6 of 8 images kept: openverse: had no more; 10 found" in result.out


def test_watch_of_a_full_job_succeeds(cli: Any, sql: Any, finished: int) -> None:
    sql("UPDATE crawler.jobs SET requested = 6, asked = 6, outcome = 'full', reason = NULL")
    assert cli("jobs", "watch", finished).status == 0


def test_watch_follows_until_the_job_ends(start: Any, sql: Any, finished: int) -> None:
    sql("UPDATE crawler.jobs SET state = 'crawling', kept = 3, charged = 0, outcome = NULL, reason = NULL")
    watching = start("jobs", "watch", finished, "--json")
    assert json.loads(watching.stdout.readline())["job"]["state"] == "crawling"
    sql("UPDATE crawler.jobs SET kept = 8, state = 'completed', outcome = 'full'")
    last = json.loads(watching.stdout.read().splitlines()[-1])
    assert (last["job"]["kept"], watching.wait()) == (8, 0)


def test_watch_ends_when_the_job_vanishes(start: Any, sql: Any, finished: int) -> None:
    sql("UPDATE crawler.jobs SET state = 'crawling'")
    watching = start("jobs", "watch", finished)
    watching.stdout.readline()
    sql("DELETE FROM public.crawl_jobs")
    assert (watching.stderr.read(), watching.wait()) == (
        f"pixcrawler: there is no job {finished}; see: pixcrawler jobs list\n",
        2,
    )


def test_watch_ends_quietly_at_ctrl_c(start: Any, sql: Any, finished: int) -> None:
    sql("UPDATE crawler.jobs SET state = 'crawling'")
    watching = start("jobs", "watch", finished)
    watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    assert (watching.stderr.read(), watching.wait()) == ("", 130)


def test_watch_draws_bars_in_a_terminal(finished: int, database_url: str, data_dir: Path) -> None:
    ours = {"DATABASE_URL": database_url, "PIXCRAWLER_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT)}
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "pixcrawler.cli", "jobs", "watch", str(finished)]
    status = subprocess.call(command, env={**os.environ, **ours, "TERM": "xterm"}, stdout=terminal)
    os.close(terminal)
    drawn = os.read(screen, 1 << 16).decode()
    os.close(screen)
    assert status == 1
    for word in ("openverse", "urls", "━━━", "4/4", "2/4", "too_small"):
        assert word in drawn


def test_kept_pictures_are_listed_by_what_they_are(cli: Any, sql: Any) -> None:
    cli("db", "init")
    job = json.loads(cli("jobs", "create", "--keywords=otter", "--max-images=5", "--sources=openverse", "--json").out)
    for name, source, format_ in (("1.jpg", "commons", "jpeg"), ("2.png", "commons", "png"), ("3.png", "met", "png")):
        about = json.dumps({"source": source, "keyword": "otter", "license_id": "CC0-1.0", "creator": "[b]Ada\x1b"})
        sql(
            "INSERT INTO public.images (crawl_job_id, original_url, filename, width, height, format, metadata)"
            " VALUES (%s, 'https://a.example/' || %s, %s, 640, 480, %s, %s)",
            [job["id"], name, name, format_, about],
        )
    chosen = ("--source=commons", "--format=png", "--keyword=otter", "--license=CC0-1.0")
    [found] = json.loads(cli("jobs", "images", job["id"], *chosen, "--json").out)
    assert (found["filename"], found["creator"]) == ("2.png", "[b]Ada\x1b")
    shown = cli("jobs", "images", job["id"], "--limit=2").out
    assert "3.png" in shown
    assert "1.jpg" not in shown
    assert "\x1b" not in shown
    assert "see: pixcrawler jobs list" in cli("jobs", "images", job["id"] + 1).err
