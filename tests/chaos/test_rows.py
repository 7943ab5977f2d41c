"""Lines 2, 10, 11 and 15 of the matrix: whoever touches the same rows at once, they tell the truth."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from machines import PROJECT, Machine
from players import HISTORY, Mortal, at_work, bring, close, put, quick, server_log, until
from sqlalchemy import text
from verdicts import Verdict, judge
from worlds import World, crawling, pictures, serving

from pixcrawler import dispatcher, faults
from pixcrawler.config import Config
from pixcrawler.db import engine, jobs
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.dispatcher import Dispatcher, nodes
from pixcrawler.dispatcher.claiming import claim_pending
from pixcrawler.errors import LeaseLost, PixCrawlerError
from pixcrawler.items import ImageItem
from pixcrawler.jobs import AttemptState, Outcome, Reason
from pixcrawler.sources import catalogue
from pixcrawler.storage import open_storage

TERMINAL = ("completed", "failed", "cancelled")
CLOCKS = {  # clocks that make a test short, for parts whose work takes milliseconds
    "poll_seconds": 0.02,
    "projection_seconds": 0.05,
    "retry_seconds": 0.01,
    "cancel_seconds": 0.3,
}


@pytest.fixture
def node() -> Iterator[Mortal]:
    with serving(Mortal()) as node:
        yield node


@pytest.fixture
def settings(database_url: str, node: Mortal, tmp_path: Path) -> Config:
    return quick(database_url, node, tmp_path, slots=8, **CLOCKS)


@pytest.fixture
def world(settings: Config, node: Mortal, sql: Callable[..., list[tuple[Any, ...]]]) -> World:
    sql(HISTORY)
    return World(settings, node, sql)


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """What dispatchers do every ten seconds they do five times a second, and nodes are soon tried again."""
    monkeypatch.setattr(dispatcher, "RARELY_SECONDS", 0.2)
    monkeypatch.setattr(nodes, "REST_SECONDS", 0.05)
    monkeypatch.setattr(nodes, "LONGEST_REST_SECONDS", 0.2)


def insert(world: World, number: int, max_images: int = 10) -> list[int]:
    """So many pending rows, in one statement."""
    rows = world.sql(
        "INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images)"
        " SELECT (SELECT min(id) FROM public.projects), 'pets', '[\"cat\"]', %s FROM generate_series(1, %s)"
        " RETURNING id",
        (max_images, number),
    )
    return sorted(job for (job,) in rows)


# 2. Four dispatchers, many rows


def claims_per_second(world: World) -> float:
    [(number, seconds)] = world.sql(
        "SELECT count(*), extract(epoch FROM max(created_at) - min(created_at))::float8 FROM crawler.jobs"
    )
    return (number - 1) / max(seconds, 1e-6)


def judge_claims(world: World, rows: list[int], fault: str, complaints: list[str], remarks: str) -> Verdict:
    """Every row claimed, logged and given out exactly once."""
    claimed = Counter(job for (job,) in world.sql("SELECT id FROM crawler.jobs"))
    logged = Counter(
        int(job)
        for (job,) in world.sql("SELECT resource_id FROM public.activity_logs WHERE action = 'START_CRAWL_JOB'")
    )
    # What a busy node did not answer in time is given out again, and has done nothing.
    given = Counter(job for (job,) in world.sql("SELECT job FROM crawler.attempts WHERE state <> 'undelivered'"))
    twice = {job for counts in (logged, given) for job, number in counts.items() if number > 1}
    lost = [job for job in rows if not (claimed[job] and logged[job])]
    return Verdict("2", fault, 4, len(rows), len(lost), len(twice), remarks=remarks, complaints=complaints)


def complaints_in(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.search("duplicate key|UniqueViolation|ERROR|Traceback", line)]


def test_four_dispatchers_in_one_process_claim_every_row_once(world, node, scale, verdict):
    logged = server_log(world)
    rows = insert(world, scale.size(150, 600))

    async def story() -> None:
        dispatchers = [
            Dispatcher(world.settings.database_url.get_secret_value(), world.settings, catalogue()) for _ in range(4)
        ]
        try:
            while world.sql("SELECT 1 FROM public.crawl_jobs WHERE status = 'pending' LIMIT 1"):
                await asyncio.gather(*(claim_pending(one._engine, world.settings, catalogue()) for one in dispatchers))
            await asyncio.gather(*(one.tick() for one in dispatchers))
        finally:
            for one in dispatchers:
                await one.close()

    asyncio.run(story())
    speed = f"{claims_per_second(world):.0f} claims/s in one process"
    verdict(judge_claims(world, rows, "4 dispatchers, 1 process", complaints_in(logged()), speed))


def test_four_dispatcher_processes_claim_every_row_once(world, node, machine: Machine, scale, verdict):
    logged = server_log(world)
    rows = insert(world, scale.size(60, 600))
    machine.nodes.append(f"{node.url}#1000")
    machine.env["PIXCRAWLER_DISPATCH_SECONDS"] = "600"  # nobody plays these crawls, and none is to be given up for it
    parts = [machine.dispatcher() for _ in range(4)]
    machine.until(lambda: len(node.scheduled) >= len(rows), seconds=scale.size(60, 300))
    complaints = complaints_in(logged() + "".join(part.said() for part in parts))
    complaints += [f"{part.name} has died" for part in parts if part.statuses]
    speed = f"{claims_per_second(world):.0f} claims/s"
    verdict(judge_claims(world, rows, "4 dispatcher processes", complaints, speed))


# 10. Cancelled at every step, and against the end


def owner_cancels(url: str, job: int) -> None:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))


def url_of(world: World) -> str:
    assert world.settings.database_url is not None
    return world.settings.database_url.get_secret_value()


def attentive(world: World, pages: int = 2, pause: float = 0) -> Callable[[PostgresLedger], Awaitable[None]]:
    """A crawl that keeps two pictures from each page, beats in between, and ends in order when its job does."""

    async def play(book: PostgresLedger) -> None:
        if await book.open() is None:
            return
        for page in range(pages):
            await bring(world.settings, book, pictures(2 * page, 2 * page + 1), page + 2)
            if not await book.beat():
                await book.close(Outcome(AttemptState.CANCELLED, "the job was cancelled"))
                return
            await asyncio.sleep(pause)
        await close(book)

    return play


def lives(world: World) -> dict[int, list[str]]:
    """The states of each job, in order."""
    found = defaultdict(list)
    for job, state in world.sql("SELECT job, state FROM history ORDER BY at"):
        found[job].append(state)
    return found


def wrong_ends(world: World, job: int, allowed: tuple[str, ...]) -> list[str]:
    """One terminal state, which nothing follows; told once; shown truly; nothing at work any more."""
    life = lives(world)[job]
    [(shown,)] = world.sql("SELECT status FROM public.crawl_jobs WHERE id = %s", (job,))
    told = world.sql("SELECT count(*) FROM public.notifications WHERE (metadata->>'crawl_job_id')::int = %s", (job,))[
        0
    ][0]
    active = world.sql(
        "SELECT run, attempt FROM crawler.attempts WHERE job = %s AND ended_at IS NULL", (job,)
    ) + world.sql("SELECT id, 0 FROM crawler.runs WHERE job = %s AND ended_at IS NULL", (job,))
    facts = {
        "ends once": sum(state in TERMINAL for state in life) == 1 and life[-1] in allowed,
        "shown": shown == life[-1],
        "told": told == 1,
        "at rest": not active,
    }
    return [
        f"job {job} {life}, shown {shown}, told {told}, active {active}: not {fact}"
        for fact, ok in facts.items()
        if not ok
    ]


def ended(world: World, *these: int) -> bool:
    rows = world.sql(
        "SELECT 1 FROM public.crawl_jobs JOIN crawler.jobs j USING (id)"
        " WHERE id = ANY(%s) AND status = state AND state IN ('completed', 'failed', 'cancelled')",
        (list(these),),
    )
    return len(rows) == len(these)


STEPS = [
    point
    for point in faults.POINTS
    # Not on the way of a job that nobody disturbs, or told by another step.
    if point not in ("dispatcher.heeded", "dispatcher.cancelled", "dispatcher.ended", "dispatcher.settled")
    and point not in ("crawl.fetched", "crawl.stored", "moving.published")
    and not point.startswith("takedown.")
]
LATE_STEPS = [point for point in STEPS if point.startswith(("exporter.", "crawl.clos", "dispatcher.finished"))]


def test_cancelled_at_every_step(world, node, scale, verdict, restless, monkeypatch):
    """The owner's word comes just when a step is done; a good job beside it is not touched."""
    complaints, reached = [], set()

    async def story(point: str) -> None:
        armed = threading.Event()

        def cancel(at: str) -> None:
            if at != point or armed.is_set():
                return
            armed.set()
            reached.add(at)
            owner = threading.Thread(target=owner_cancels, args=(url_of(world), job))
            owner.start()
            owner.join(0.05)  # no longer: it may wait for a transaction of this very thread

        monkeypatch.setattr(faults, "reach", cancel)
        # For steps before the end of the crawl: one that would go on for long.
        pages, pause = (2, 0.0) if point in LATE_STEPS else (40, 0.1)
        [job] = insert(world, 1, max_images=2 * pages)
        async with at_work(world, attentive(world, pages, pause), node):
            await until(lambda: ended(world, job))
        complaints.extend(f"{point}: {wrong}" for wrong in wrong_ends(world, job, ("cancelled",)))
        if world.state(job)[1] == 2 * pages and point not in LATE_STEPS:
            complaints.append(f"{point}: the crawl went on to its end")

    for point in STEPS:
        asyncio.run(story(point))
    assert reached == set(STEPS)
    verdict(Verdict("10", "cancel at every step", len(reached), len(STEPS), complaints=complaints))


def test_cancelled_before_anybody_has_seen_it(world, node):
    [job] = insert(world, 1)
    owner_cancels(url_of(world), job)
    world.tick(2)
    assert world.job(job)["status"] == "cancelled"
    assert (world.sql("SELECT id FROM crawler.jobs"), node.scheduled) == ([], [])


def deferred(world: World, node: Mortal) -> tuple[Callable[[PostgresLedger], Any], str]:
    async def play(book: PostgresLedger) -> None:
        await book.open()
        await book.close(Outcome(AttemptState.DEFERRED, "asked for a pause", later_seconds=3600))

    return play, "SELECT 1 FROM crawler.runs WHERE state = 'deferred'"


def dispatching(world: World, node: Mortal) -> tuple[Callable[[PostgresLedger], Any], str]:
    node.loses = "request"
    return attentive(world), "SELECT 1 FROM crawler.attempts WHERE state = 'dispatching'"


def answer_lost(world: World, node: Mortal) -> tuple[Callable[[PostgresLedger], Any], str]:
    node.loses = "answer"
    return deaf(world, node)[0], "SELECT 1 FROM crawler.attempts WHERE state = 'running'"


def dispatched(world: World, node: Mortal) -> tuple[Callable[[PostgresLedger], Any], str]:
    async def play(book: PostgresLedger) -> None:
        await asyncio.Event().wait()  # so slow to start that it never comes to its first question

    return play, "SELECT 1 FROM crawler.attempts WHERE state = 'dispatched'"


def deaf(world: World, node: Mortal) -> tuple[Callable[[PostgresLedger], Any], str]:
    async def play(book: PostgresLedger) -> None:
        await book.open()
        await asyncio.Event().wait()

    return play, "SELECT 1 FROM crawler.attempts WHERE state = 'running'"


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (deferred, []),
        (dispatching, []),
        (dispatched, ["INT"]),
        (answer_lost, ["INT", "KILL"]),
        (deaf, ["INT", "KILL"]),
    ],
)
def test_cancelled_in_every_state(world, node, verdict, restless, state, told):
    [job] = insert(world, 1)
    play, there = state(world, node)

    async def story() -> None:
        async with at_work(world, play, node):
            await until(lambda: world.sql(there))
            if state is not dispatching:  # whose request may still be on its way
                node.loses = None
            await asyncio.to_thread(owner_cancels, url_of(world), job)
            await until(lambda: ended(world, job))
            if told == ["INT"]:
                node.killed.add("1-1")  # the test's own: nobody minds a process that finds no job

    asyncio.run(story())
    assert [signal for _, signal in node.cancelled] == told
    verdict(Verdict("10", f"cancel when {state.__name__}", 1, 1, complaints=wrong_ends(world, job, ("cancelled",))))


def test_cancel_against_complete(world, node, scale, verdict, restless):
    """Owners cancel at random moments around the end of their jobs, and some after it."""
    rounds = scale.size(40, 200)
    chance = random.Random(1)
    moments = [chance.choice(["crawling", "crawling", "exporting", "exporting", "completed"]) for _ in range(rounds)]
    pauses = [chance.uniform(0, 0.15) for _ in range(rounds)]
    these = insert(world, rounds, max_images=4)
    now: dict[int, str] = {}

    async def owner(job: int, moment: str, pause: float) -> None:
        while now.get(job) not in (moment, *TERMINAL):  # noqa: ASYNC110  the moment is another process's
            await asyncio.sleep(0.005)
        await asyncio.sleep(pause)
        await asyncio.to_thread(owner_cancels, url_of(world), job)

    async def look() -> None:
        while True:
            now.update(await asyncio.to_thread(world.sql, "SELECT id, state FROM crawler.jobs"))
            await asyncio.sleep(0.005)

    async def story() -> None:
        looking = asyncio.create_task(look())
        async with at_work(world, attentive(world), node, dispatchers=2):
            await asyncio.gather(*map(owner, these, moments, pauses))
            await until(lambda: ended(world, *these))
            before = lives(world)
            await asyncio.to_thread(world.sql, "UPDATE public.crawl_jobs SET status = 'pending' WHERE id % 2 = 0")
            await asyncio.to_thread(world.sql, "UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id % 2 = 1")
            await until(lambda: ended(world, *these))
            assert lives(world) == before
        looking.cancel()

    asyncio.run(story())
    ends = Counter(life[-1] for life in lives(world).values())
    assert len(ends) == 2, f"no contest: {ends}"
    complaints = [wrong for job in these for wrong in wrong_ends(world, job, ("completed", "cancelled"))]
    remarks = ", ".join(f"{number} {state}" for state, number in sorted(ends.items()))
    verdict(Verdict("10", "cancel against complete", rounds, rounds, complaints=complaints, remarks=remarks))


BUSY_ON_SIGNAL = """
import signal

def compute(*_):
    while True:
        pass

signal.signal(signal.SIGUSR1, compute)
"""


def test_nothing_is_fetched_after_a_cancel(machine: Machine, tmp_path: Path, verdict):
    """A real crawl that listens, one that computes without end, one that is stopped; and a good one beside them."""
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "sitecustomize.py").write_text(BUSY_ON_SIGNAL)
    machine.node(slots=4, PYTHONPATH=f"{PROJECT}:{tmp_path / 'hooks'}")
    machine.dispatcher()
    machine.exporter()
    machine.source.latency = 0.5  # eight at a time: a crawl of 200 has a middle
    unwanted = [machine.job(200) for _ in range(3)]
    good = machine.job(5)
    names = machine.until(lambda: all(map(machine.kept, unwanted)) and [machine.running(job) for job in unwanted])
    for name, deafness in zip(names, (signal.SIGCONT, signal.SIGUSR1, signal.SIGSTOP), strict=True):
        machine.crawls()[name].send_signal(deafness)
    cancelled_at = time.time()
    for job in unwanted:
        machine.cancel(job)
    spent = []
    for job in unwanted:
        machine.until(lambda job=job: ended(machine, job))
        spent.append(f"{time.time() - cancelled_at:.1f}")
    machine.until(lambda: not set(names) & set(machine.crawls()))
    folders = tuple(f"/pet-number-{n}/" for n in range(3))
    late = [path for path in machine.hits(cancelled_at + 5) if path.startswith(folders)]
    remarks = f"listening, computing, stopped: cancelled after {', '.join(spent)} s"
    result = judge(machine, "10", "cancel of real crawls", 3, 30, remarks)
    result.complaints += [f"{path} was fetched 5 s after" for path in late]
    assert machine.kept(good) == 5
    verdict(result)


def test_a_process_that_stops_in_a_transaction_holds_up_no_other_job(world, node, verdict, restless):
    """A process that sleeps in the midst of booking has its job's row locked: that job waits, and nobody else."""
    asleep, unwanted, waiting = insert(world, 3, max_images=4)

    async def play(book: PostgresLedger) -> None:
        await book.open()
        while await book.beat():  # noqa: ASYNC110  as heartbeats come
            await asyncio.sleep(0.05)
        await book.close(Outcome(AttemptState.CANCELLED, "the job was cancelled"))

    async def story() -> None:
        async with at_work(world, play, node):
            await until(lambda: len(world.sql("SELECT 1 FROM crawler.attempts WHERE state = 'running'")) == 3)
            async with await psycopg.AsyncConnection.connect(url_of(world)) as sleeper:
                await sleeper.execute("SELECT 1 FROM crawler.jobs WHERE id = %s FOR UPDATE", (asleep,))
                for job in (asleep, unwanted):
                    await asyncio.to_thread(owner_cancels, url_of(world), job)
                await until(lambda: ended(world, unwanted), 15)
                [late] = await asyncio.to_thread(insert, world, 1)
                await until(lambda: world.sql("SELECT 1 FROM crawler.attempts WHERE job = %s", (late,)), 15)
                assert world.state(asleep)[0] == "crawling"
            await until(lambda: ended(world, asleep))
            for job in (waiting, late):
                await asyncio.to_thread(owner_cancels, url_of(world), job)
            await until(lambda: ended(world, waiting, late))

    asyncio.run(story())
    complaints = wrong_ends(world, asleep, ("cancelled",)) + wrong_ends(world, unwanted, ("cancelled",))
    verdict(Verdict("10", "cancel, another process asleep", 1, 4, complaints=complaints))


# 11. What owners write into their rows

EDITS = {
    "status": "status = 'pending'",
    "status, counters": "status = 'pending', progress = 7, total_images = 9999, valid_images = -5, total_chunks = 77",
    "counters": "progress = 100, downloaded_images = 1, active_chunks = 9, completed_chunks = 9, failed_chunks = 9",
    "task ids": 'task_ids = \'["7-7", {"a": 1}]\'',
    "end": "status = 'completed', completed_at = now(), progress = 100",
    "failure": "status = 'failed', task_ids = '[]'",
    "order": "keywords = '[\"dog\", \"mouse\"]', max_images = 9999, name = 'another', status = 'pending'",
}
TRUTH = """
SELECT status, progress, total_images, downloaded_images, valid_images, total_chunks, active_chunks, completed_chunks,
    failed_chunks, task_ids, completed_at FROM public.crawl_jobs WHERE id = %s
"""
ATTEMPTS = "SELECT run, attempt, state FROM crawler.attempts WHERE job = %s ORDER BY run, attempt"


def to_running(world: World, node: Mortal) -> int:
    job = insert(world, 1, max_images=4)[0]
    world.tick()
    return job


def to_exporting(world: World, node: Mortal) -> int:
    job = to_running(world, node)
    world.crawl(node.scheduled[-1], crawling(4))
    world.tick()
    assert world.state(job)[0] == "exporting"
    return job


def to_completed(world: World, node: Mortal) -> int:
    job = to_exporting(world, node)
    world.tick()
    world.sql("UPDATE crawler.exports SET state = 'done', key = 'k', size = 1, sha256 = 's' WHERE job = %s", (job,))
    world.tick()
    assert world.state(job)[0] == "completed"
    return job


def to_cancelled(world: World, node: Mortal) -> int:
    job = to_running(world, node)
    owner_cancels(url_of(world), job)
    world.tick(2)
    assert world.state(job)[0] == "cancelled"
    return job


def to_failed(world: World, node: Mortal) -> int:
    job = to_running(world, node)
    world.crawl(node.scheduled[-1], failing)
    world.tick(2)
    assert world.state(job)[0] == "failed"
    return job


async def failing(book: PostgresLedger) -> None:
    await book.open()
    await book.close(Outcome(AttemptState.FAILED, "its source is gone"))


@pytest.mark.parametrize("to", [to_running, to_exporting, to_completed, to_failed, to_cancelled])
def test_what_owners_write_is_overwritten(world, node, verdict, to):
    job, other = to(world, node), to_exporting(world, node)
    world.tick(2)
    truth, attempts_, posts = world.sql(TRUTH, (job,)), world.sql(ATTEMPTS, (job,)), list(node.scheduled)
    others = "SELECT xmin::text, c.* FROM public.crawl_jobs c WHERE id = %s"
    untouched = world.sql(others, (other,))
    complaints = []
    for name, edit in EDITS.items():
        world.sql(f"UPDATE public.crawl_jobs SET {edit} WHERE id = %s", (job,))
        if truth[0][-1] and world.job(job)["status"] == truth[0][0]:
            continue  # the numbers of a job that has ended are looked at when its status is wrong
        world.tick(3)
        if (shown := world.sql(TRUTH, (job,))) != truth:
            complaints.append(f"{name}: {shown[0]} instead of {truth[0]}")
        if world.sql(ATTEMPTS, (job,)) != attempts_ or node.scheduled != posts:
            complaints.append(f"{name}: attempts {world.sql(ATTEMPTS, (job,))}, posts {node.scheduled}")
    if world.sql(others, (other,)) != untouched:
        complaints.append("another row was written")
    verdict(Verdict("11", f"edits of a job {to.__name__.removeprefix('to_')}", len(EDITS), 2, complaints=complaints))


@pytest.mark.parametrize("to", [to_running, to_exporting, to_completed, to_cancelled])
def test_a_row_that_is_deleted_ends_its_job_and_no_other(world, node, verdict, to):
    job, other = to(world, node), to_exporting(world, node)
    world.tick(2)
    before, posts = world.state(job)[0], list(node.scheduled)
    others = "SELECT xmin::text, c.* FROM public.crawl_jobs c WHERE id = %s"
    untouched = world.sql(others, (other,))
    world.sql("DELETE FROM public.crawl_jobs WHERE id = %s", (job,))
    if to is to_running:
        assert world.crawl(node.scheduled[0], crawling(4)) is not None
    world.tick(4)
    complaints = []
    if world.state(job)[0] != (before if before in TERMINAL else "cancelled"):
        complaints.append(f"was {before}, is {world.state(job)}")
    if node.scheduled != posts or world.sql(others, (other,)) != untouched:
        complaints.append(f"posts {node.scheduled}, another row {world.job(other)}")
    fault = f"row of a job {to.__name__.removeprefix('to_')} deleted"
    verdict(Verdict("11", fault, 1, 2, complaints=complaints))


# 15. Everybody at once

SECONDS = (5.0, 60.0)  # reduced, full
OFTEN = 0.15  # seconds between two deeds of an owner or operator, at most


def restless_crawl(world: World, chance: random.Random) -> Callable[[PostgresLedger], Awaitable[None]]:
    """Pages that overlap with those of other runs, decisions of all kinds, beats beside them, every kind of end."""

    async def beats(book: PostgresLedger) -> None:
        while await book.beat():  # noqa: ASYNC110  as heartbeats come
            await asyncio.sleep(chance.uniform(0, 0.05))

    async def page(book: PostgresLedger, keyword: str, number: int) -> None:
        found = [
            ImageItem(f"https://pictures.example/{chance.randrange(60)}.jpg", "openverse", keyword) for _ in range(6)
        ]
        todo = list({item.key: item for item in await book.add_page(keyword, found, number, None)}.values())
        await book.begin(todo)
        storage = open_storage(world.settings)
        keeping = []
        for item in todo:
            if chance.random() < 0.3:
                book.reject(item, chance.choice([Reason.TIMEOUT, Reason.DAMAGED, Reason.NEAR_DUPLICATE]))
            else:
                keeping.append(book.keep(await put(storage, book.run.storage_prefix, item)))
        await asyncio.gather(*keeping)

    async def play(book: PostgresLedger) -> None:
        if await book.open() is None:
            return
        beating = asyncio.create_task(beats(book))
        try:
            await book.open_candidates()
            for number in range(chance.randrange(1, 5)):
                keywords = list(book.run.slices)
                await asyncio.gather(*(page(book, keyword, number + 2) for keyword in keywords))
            await end(book)
        except LeaseLost:
            pass
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError, LeaseLost):
                await beating

    async def end(book: PostgresLedger) -> None:
        kind = chance.random()
        if kind < 0.15:
            return  # dies
        if kind < 0.3:
            await book.close(Outcome(AttemptState.DEFERRED, "asked for a pause", later_seconds=0.05))
        elif kind < 0.4:
            await book.close(Outcome(AttemptState.LOST, "interrupted"))
        else:
            await close(book)

    return play


class Owners:
    """People who insert, cancel, edit and delete rows, one by one and many at once; and operators who retry."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.deeds = Counter[str]()

    async def live(self, stop: asyncio.Event) -> None:
        async with await psycopg.AsyncConnection.connect(
            url_of(self.world), autocommit=True, prepare_threshold=None
        ) as connection:
            while not stop.is_set():
                rows = await (await connection.execute("SELECT id FROM public.crawl_jobs")).fetchall()
                job = self.chance.choice(rows)[0] if rows else 0
                deed = self.chance.choice(
                    ["insert"] * 5 + ["cancel", "edit", "edit", "delete", "cancel_all", "edit_all"]
                )
                await connection.execute(DEEDS[deed], {"job": job})
                self.deeds[deed] += 1
                await asyncio.sleep(self.chance.uniform(0, OFTEN))

    async def operate(self, stop: asyncio.Event) -> None:
        ours = engine.create(url_of(self.world), application_name="operator", pool_size=1)
        try:
            while not stop.is_set():
                with suppress(PixCrawlerError):
                    await self._take_up(ours)
                await asyncio.sleep(self.chance.uniform(0, OFTEN))
        finally:
            await ours.dispose()

    async def _take_up(self, ours: Any) -> None:
        async with engine.transaction(ours) as connection:
            job = await connection.scalar(text(SOME_ENDED)) or 0
            terms: dict[str, Any] = {"deadline_seconds": 3600, "jobs_by_credits": {0: 1000}}
            if self.chance.random() < 0.5:
                await jobs.retry(connection, job, **terms)
            else:
                await jobs.extend(connection, job, self.chance.randrange(50, 90), **terms)
        self.deeds["retry"] += 1


DEEDS = {
    "insert": "INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images)"
    ' SELECT min(id), \'pets\', \'["cat", "dog", "bird"]\', 30 FROM public.projects',
    "cancel": "UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %(job)s",
    "edit": "UPDATE public.crawl_jobs SET status = 'pending', valid_images = 7, task_ids = '[]' WHERE id = %(job)s",
    "delete": "DELETE FROM public.crawl_jobs WHERE id = %(job)s",
    "cancel_all": "UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id %% 5 = 0 AND status = 'running'",
    "edit_all": "UPDATE public.crawl_jobs SET progress = 1",
}
CANCEL_UNFINISHED = "UPDATE public.crawl_jobs SET status = 'cancelled' WHERE status IN ('pending', 'running')"
SOME_ENDED = """
SELECT id FROM public.crawl_jobs JOIN crawler.jobs USING (id)
WHERE state IN ('completed', 'failed', 'cancelled') ORDER BY random() LIMIT 1
"""
SHOWN_AND_COUNTED = """
SELECT j.id, j.kept,
    (SELECT count(*) FROM public.images WHERE crawl_job_id = j.id),
    (SELECT count(*) FROM crawler.fingerprints WHERE scope = 'job:' || j.id),
    (SELECT count(*) FROM crawler.candidates WHERE job = j.id AND decision = 'kept'),
    EXISTS (SELECT FROM public.crawl_jobs WHERE id = j.id)
FROM crawler.jobs j ORDER BY j.id
"""
FUNNELS = """
SELECT r.id, r.funnel, (SELECT count(*) FROM crawler.candidates WHERE run = r.id),
    (SELECT count(*) FROM crawler.candidates WHERE run = r.id AND decision = 'kept')
FROM crawler.runs r WHERE r.ended_at IS NOT NULL
"""


def untrue_numbers(world: World) -> list[str]:
    """Counter, rows, fingerprints and decisions agree; every funnel adds up to what was met."""
    complaints = []
    for job, kept, images, fingerprints, decided, there in world.sql(SHOWN_AND_COUNTED):
        if len({kept, fingerprints, decided, images if there else kept}) > 1:
            complaints.append(
                f"job {job}: kept {kept}, images {images}, fingerprints {fingerprints}, decided {decided}"
            )
    for run, funnel, met, kept in world.sql(FUNNELS):
        if (funnel["found"], funnel["kept"]) != (met, kept) or met != kept + sum(funnel["reasons"].values()):
            complaints.append(f"run {run}: {funnel}, met {met}, kept {kept}")
    return complaints


# A played crawl that is killed leaves its connection behind, as a killed process does.
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
def test_nobody_waits_in_a_circle(world, node, scale, verdict, restless):
    world.sql(
        f"ALTER DATABASE {psycopg.conninfo.conninfo_to_dict(url_of(world))['dbname']} SET deadlock_timeout = '10ms'"
    )
    logged = server_log(world)
    chance = random.Random(15)
    owners = Owners(world, chance)
    insert(world, 8, max_images=30)
    world.sql('UPDATE public.crawl_jobs SET keywords = \'["cat", "dog", "bird"]\'')

    async def story() -> None:
        enough = asyncio.Event()
        async with at_work(world, restless_crawl(world, chance), node, dispatchers=3, exporters=2, lease_seconds=40):
            people = [asyncio.create_task(owners.live(enough)) for _ in range(3)]
            people.append(asyncio.create_task(owners.operate(enough)))
            await asyncio.sleep(scale.size(*SECONDS))
            enough.set()
            await asyncio.gather(*people)
            await asyncio.to_thread(world.sql, CANCEL_UNFINISHED)
            await until(
                lambda: not world.sql("SELECT 1 FROM crawler.jobs WHERE state <> ALL(%s) LIMIT 1", (list(TERMINAL),))
            )

    asyncio.run(story())
    # Those who have left have told all they know.
    [(deadlocks, commits)] = world.sql(
        "SELECT deadlocks, xact_commit FROM pg_stat_database WHERE datname = current_database()"
    )
    complaints = untrue_numbers(world)
    complaints += [line for line in logged().splitlines() if re.search("deadlock detected|Process [0-9]+ waits", line)]
    if deadlocks:
        complaints.append(f"{deadlocks} deadlocks")
    [(number,)] = world.sql("SELECT count(*) FROM crawler.jobs")
    assert set(DEEDS) <= set(owners.deeds)
    verdict(Verdict("15", "everybody at once", commits, number, complaints=complaints, remarks=f"{dict(owners.deeds)}"))


def test_endless_duplicates_end_by_the_number_of_candidates(world, node, verdict, restless):
    """A source whose every thousandth picture is new is not barren by the last 300, and never ends."""
    [job] = insert(world, 1, max_images=2)

    async def play(book: PostgresLedger) -> None:
        await book.open()
        await bring(world.settings, book, pictures(0))
        page = 0
        while await book.beat():
            page += 1
            todo = await book.add_page("cat", pictures(*range(1000 * page, 1000 * page + 500)), page + 2, None)
            await book.begin(todo)
            for item in todo:
                book.reject(item, Reason.DUPLICATE_BYTES)
            await asyncio.sleep(0.1)
        await book.close(Outcome(AttemptState.CANCELLED, "the job was cancelled"))

    async def story() -> None:
        async with at_work(world, play, node):
            await until(lambda: ended(world, job))

    asyncio.run(story())
    assert world.state(job) == ("completed", 1, "short", "2,100 candidates were met")
    met = sum(world.decisions(job).values())
    complaints = untrue_numbers(world)
    remarks = f"ended after {met:,} candidates, limit 2,100"
    verdict(Verdict("15", "endless duplicates, played", 1, 1, complaints=complaints, remarks=remarks))


def test_endless_duplicates_end_by_the_last_pictures(machine: Machine, verdict):
    """The real spider, with a list of addresses behind all of which is the same picture."""
    machine.node()
    machine.dispatcher()
    machine.exporter()
    [same] = machine.fill("same", 1, 0)
    lines = [f"{machine.source.address}{same}?number={n}" for n in range(5000)]
    (machine.folder / "storage" / "lists").mkdir(parents=True)
    (machine.folder / "storage" / "lists" / "same.txt").write_text("\n".join(lines))
    job = machine.job(1, asked=50)
    machine.sql("UPDATE public.crawl_jobs SET status = 'archived' WHERE id = %s", (job,))  # not before its options
    machine.sql(
        "INSERT INTO crawler.jobs (id, state, keywords, asked, options) VALUES (%s, 'pending', '[]', 1, %s)",
        (job, '{"sources": ["urls"], "list": "lists/same.txt"}'),
    )
    machine.sql("UPDATE public.crawl_jobs SET status = 'pending' WHERE id = %s", (job,))
    result = judge(machine, "15", "endless duplicates", 1, 60)
    [(outcome, reason)] = machine.sql("SELECT outcome, reason FROM crawler.jobs WHERE id = %s", (job,))
    [(met,)] = machine.sql("SELECT count(*) FROM crawler.candidates WHERE job = %s", (job,))
    result.remarks = f"ended after {met:,} candidates of 5,000: {reason}"
    assert outcome == "short"
    assert "hardly any of its last pictures was usable" in reason
    assert met < 1000
    verdict(result)
