"""Lines 3, 8 and 9 of the matrix: nodes that fail in every way, and jobs that would make them fail."""

from __future__ import annotations

import asyncio
import json
import random
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from threading import Thread
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest
from loopback import Web, closed_port, finished, started
from machines import Machine, tiny
from players import Mortal, at_work, bring, close, quick, until
from verdicts import Verdict, judge
from worlds import World, pictures, serving

from pixcrawler.config import Config, source_names
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.jobs import Spent


@pytest.fixture
def node() -> Iterator[Mortal]:
    with serving(Mortal()) as node:
        yield node


@pytest.fixture
def settings(database_url: str, node: Mortal, tmp_path: Path) -> Config:
    return quick(database_url, node, tmp_path, slots=4)


@pytest.fixture
def world(settings: Config, node: Mortal, sql: Callable[..., list[tuple[Any, ...]]]) -> World:
    return World(settings, node, sql)


# 3. Lost answers, repeated orders


class Proxy(ThreadingHTTPServer):
    """Passes everything on to a node, and resets the connection in place of the first answers to `schedule.json`."""

    daemon_threads = True

    def __init__(self, behind: str, swallows: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.behind = urlsplit(behind)
        self.swallows = swallows
        self.swallowed: list[bytes] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}#{self.behind.fragment}"


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_GET(self) -> None:
        self._pass(None)

    def do_POST(self) -> None:
        self._pass(self.rfile.read(int(self.headers["Content-Length"])))

    def _pass(self, body: bytes | None) -> None:
        behind = HTTPConnection(self.server.behind.hostname or "", self.server.behind.port)
        behind.request(self.command, self.path, body, dict(self.headers))
        response = behind.getresponse()
        answer = response.read()
        behind.close()
        if "schedule.json" in self.path and len(self.server.swallowed) < self.server.swallows:
            self.server.swallowed.append(answer)
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
            return
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy(behind: str, swallows: int) -> Iterator[Proxy]:
    server = Proxy(behind, swallows)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetched_twice(source: Web) -> list[str]:
    return [f"{path} was fetched {hits} times" for path, hits in source.hits.items() if hits > 1]


def order(address: str, job: str) -> int:
    """Posts an attempt to a node; the status of the answer."""
    node = urlsplit(address)
    connection = HTTPConnection(node.hostname or "", node.port)
    values = {"project": "pixcrawler", "spider": "openverse", "jobid": job}
    connection.request("POST", "/schedule.json", urlencode(values), {"Content-Type": FORM})
    status = connection.getresponse().status
    connection.close()
    return status


FORM = "application/x-www-form-urlencoded"


def test_a_swallowed_answer_and_repeated_orders_start_nothing_twice(machine: Machine, source: Web, scale, verdict):
    """While they run and after, attempts are ordered again from the real node, which has them all."""
    swallows = scale.size(2, 10)
    machine.node(slots=2)
    behind = machine.nodes[0]
    with proxy(behind, swallows) as between:
        machine.nodes[:] = [between.address]
        machine.dispatcher()
        machine.exporter()
        source.latency = 0.05
        these = [machine.job(30) for _ in range(swallows + 2)]
        name = machine.until(lambda: machine.running(these[0]))
        statuses = [order(behind, name) for _ in range(3)]
        result = judge(machine, "3", "answer swallowed, orders repeated", swallows + 4, 120)
        statuses.append(order(behind, name))
        machine.until(lambda: not machine.crawls())
        assert [json.loads(answer)["status"] for answer in between.swallowed] == ["ok"] * swallows
    attempts = [attempt for job in these for attempt in machine.attempts(job)]
    result.complaints += fetched_twice(source)
    result.complaints += [f"more than one attempt: {row}" for row in attempts if row[1] != 1]
    result.complaints += [] if statuses == [409] * 4 else [f"a repeated order is answered {statuses}"]
    result.remarks = f"{len(attempts)} attempts, {len(between.swallowed)} answers lost"
    verdict(result)


@pytest.mark.whole
def test_of_three_processes_of_one_attempt_one_fetches(world, node, source: Web, database_url, tmp_path, verdict):
    """As with a stock Scrapyd, which starts whatever it is told."""
    job = world.insert(["cat"], 10)
    world.tick()
    source.results["cat"] = source.photos(10)
    source.latency = 0.3
    about = {"DATABASE_URL": database_url, "PIXCRAWLER_BASE_URL_OPENVERSE": source.address}
    processes = [started(tmp_path, "openverse", "-a", "_job=1-1", **about) for _ in range(3)]
    crawls = [finished(process, tmp_path) for process in processes]
    idle = [crawl for crawl in crawls if "Nothing to crawl: the attempt is not ours" in crawl.log]
    complaints = fetched_twice(source)
    if len(idle) != 2 or len(source.hits) != 11 or world.state(job)[1] != 10:
        complaints.append(f"{len(idle)} were idle, hits {dict(source.hits)}, job {world.state(job)}")
    assert [crawl.status for crawl in crawls] == [0, 0, 0]
    verdict(Verdict("3", "one attempt, three processes", 3, 1, complaints=complaints))


# 8. Nodes that fail


def refusing(bad: Mortal) -> str:
    return f"http://127.0.0.1:{closed_port()}#4"


def silent(bad: Mortal) -> str:
    bad.hangs = True
    return f"{bad.url}#4"


def erring(bad: Mortal) -> str:
    bad.refusal = "no such project"
    return f"{bad.url}#4"


def wedged(bad: Mortal) -> str:
    bad.starts = "pending"
    return f"{bad.url}#4"


DELAYS = """
SELECT first.node, extract(epoch FROM first.created_at - c.created_at)::float8,
    extract(epoch FROM min(began.started_at) - c.created_at)::float8
FROM public.crawl_jobs c JOIN crawler.attempts first ON first.job = c.id AND first.attempt = 1
LEFT JOIN crawler.attempts began ON began.job = c.id
GROUP BY c.id, first.node, first.created_at, c.created_at ORDER BY c.id
"""


LONG_SILENCE = 6.0  # seconds: no machine is so busy that its jobs wait as long for nothing


@pytest.mark.parametrize("fault", [refusing, silent, erring, wedged])
def test_work_moves_to_a_good_node_and_nobody_else_waits(world, node, scale, verdict, monkeypatch, fault):
    dispatch = max(scale.clock("dispatch"), LONG_SILENCE)
    if scale.name != "real":  # silence lasts as long as it can without more harm: whoever waits for it shows
        monkeypatch.setattr("pixcrawler.dispatcher.scrapyd.TIMEOUT_SECONDS", 0.9 * dispatch)

    async def play(book: PostgresLedger) -> None:
        await book.open()
        await bring(world.settings, book, pictures(1))
        await close(book)

    async def story(addresses: tuple[str, ...]) -> list[int]:
        jobs = []
        async with at_work(world, play, node, scrapyd_nodes=addresses, dispatch_seconds=dispatch):
            while len(jobs) < 8 or bad_ones():
                jobs.append(await asyncio.to_thread(world.insert, ["cat"], 1))
                await asyncio.sleep(dispatch / 10)
            await until(lambda: not unfinished(world))
        return jobs

    def bad_ones() -> list[Any]:
        name = urlsplit(addresses[0]).netloc
        return world.sql("SELECT 1 FROM crawler.attempts WHERE node = %s AND ended_at IS NULL", (name,))

    with serving(Mortal()) as bad:
        addresses = (fault(bad), f"{node.url}#4")
        jobs = asyncio.run(story(addresses))
    delays = world.sql(DELAYS)
    good = urlsplit(node.url).netloc
    beside = [begun for name, _, begun in delays if name == good]
    moved = [begun for name, _, begun in delays if name != good]
    assert moved
    assert beside
    complaints = [f"began {seconds:.1f} s after its row" for seconds in moved if seconds > 2 * dispatch]
    # Those beside wait for nothing but a busy machine: less than one of the silences above.
    complaints += [
        f"beside the bad node, began after {seconds:.1f} s" for seconds in beside if seconds > 0.85 * dispatch
    ]
    complaints += [f"a job is {state}" for (state,) in world.sql("SELECT state FROM crawler.jobs WHERE kept <> 1")]
    remarks = (
        f"moved, began within {max(moved) * 15 / dispatch:.0f} s at real clocks;"
        f" {len(beside)} beside them within {max(beside):.2f} s"
    )
    verdict(Verdict("8", f"a node {fault.__name__}", len(moved), len(jobs), complaints=complaints, remarks=remarks))


def unfinished(world: World) -> list[Any]:
    return world.sql(
        "SELECT 1 FROM public.crawl_jobs LEFT JOIN crawler.jobs j USING (id)"
        " WHERE status IN ('pending', 'running') OR j.state NOT IN ('completed', 'failed', 'cancelled')"
    )


# 9. Hostile names and keywords

TEXTS = [
    "../../../etc/passwd",
    "..",
    "/absolute/path",
    "C:\\windows\\con",
    "con.txt",
    "'; DROP TABLE public.crawl_jobs; --",
    "'' OR 1=1",
    '"quoted"',
    "`id`; $(reboot)",
    "%s %d %n %(name)s",
    "{0} {name} {}",
    ":job :keyword :rows",
    "100 % sure",
    "setting=TELNETCONSOLE_ENABLED=1",
    "-a _job=9-9",
    "jobid=7-7&spider=urls",
    "two\nlines",
    "carriage\r\nreturn",
    "tab\there",
    "bell\x07",
    "escape\x1b[31m",
    "delete\x7f",
    "next\x85line",
    "line\u2028separator",
    "\u202eright to left",
    "מילה",
    "كلمة عربية",
    "🦊 fox",
    "👩‍👩‍👧‍👦 family",
    "e\u0301 combining",
    "zero\u200bwidth",
    "\ufeffmark",
    "\ufffd\ufffd",
    "x",
    "",
    "   ",
    "ok",
    "a" * 100,
    "a" * 101,
    "ß" * 100,
    "train",
    "null",
    "true",
    "<script>alert(1)</script>",
    "a,b,c",
    "{}",
    "[]",
    "\\u0000",
    "\\ud800",
    "long " + "x" * 300_000,
]
# As they stand in the row: what JSON can hold, and what jsonb refuses.
RAW = [
    '["nul \\u0000 inside"]',
    '["\\u0000"]',
    '["lone \\ud800"]',
    '["lone \\udc00 low"]',
    '["pair \\ud83e\\udd8a"]',
    '{"keywords": ["red panda"]}',
    '{"keywords": "red panda"}',
    '{"keywords": ["a cat"], "setting": "X=1"}',
    '{"keywords": {"keywords": ["cat"]}}',
    "null",
    "true",
    "7",
    '"cat"',
    "[]",
    "[[]]",
    "[null]",
    '["cat", 7]',
    '["cat", ["dog"]]',
    '["cat", "CAT"]',
    '["cat", "cat "]',
    '["\\u00e9clair", "e\\u0301clair"]',
    "not json",
    '["unfinished',
    json.dumps([f"word {n}" for n in range(50)]),
    json.dumps([f"word {n}" for n in range(51)]),
    json.dumps([f"word {n}" for n in range(20_000)]),
    "[" * 5000 + "]" * 5000,
]
PROJECTS = [1, 0, -1, 2**31 - 1]
COUNTS = [1, 1, 1, 1, 0, -1, 2**31 - 1]


def hostile_rows(number: int) -> Iterator[tuple[int, str, str, int]]:
    """Project, name, keywords as JSON text, number of images: every text in both places, then at random."""
    chance = random.Random(9)
    for text in TEXTS:
        yield 1, text, json.dumps(["otter", text]), 1
    for raw in RAW:
        yield 1, "raw", raw, 1
    for project in PROJECTS:
        yield project, "a project", '["cat"]', 1
    for _ in range(number - len(TEXTS) - len(RAW) - len(PROJECTS)):
        name, *words = ("".join(chance.sample(TEXTS[:-1], 2))[: chance.randrange(1, 120)] for _ in range(3))
        keywords = chance.choice([json.dumps(words), json.dumps({"keywords": words}), chance.choice(RAW)])
        yield chance.choice(PROJECTS), name, keywords, chance.choice(COUNTS)


def loosen(world: World) -> None:
    """Makes the front end's table as tolerant as a foreign one may be, and adds odd projects."""
    world.sql("ALTER TABLE public.crawl_jobs ALTER name TYPE text")
    for project in PROJECTS[1:]:
        world.sql(
            "INSERT INTO public.projects (id, name, user_id) SELECT %s, 'p', min(id::text)::uuid FROM public.profiles"
            " ON CONFLICT DO NOTHING",
            (project,),
        )


def test_hostile_names_and_keywords(world, node, scale, verdict):
    """Refused by PostgreSQL, refused by us with a reason, or crawled; and every slot works on."""
    loosen(world)
    refused_by_database: Counter[str] = Counter()
    jobs = []
    rows = list(hostile_rows(scale.size(100, 1000)))
    for row in [*rows, (1, "nul \0 inside", '["cat"]', 1)]:
        try:
            [(job,)] = world.sql(
                "INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images) VALUES (%s, %s, %s, %s)"
                " RETURNING id",
                row,
            )
            jobs.append(job)
        except psycopg.DataError as error:
            refused_by_database[type(error).__name__] += 1

    async def play(book: PostgresLedger) -> None:
        if (run := await book.open()) is None:
            return
        for n, (keyword, share) in enumerate(run.slices.items()):
            wanted = min(share.quota or 0, 2)
            found = pictures(*range(2 * n, 2 * n + wanted), keyword=keyword)
            await bring(world.settings, book, found, 2, Spent.EXHAUSTED)
        await close(book)

    async def story() -> list[Any]:
        async with at_work(world, play, node):
            await until(lambda: not unfinished(world), scale.size(60, 300))
            good = [await asyncio.to_thread(world.insert, ["good"], 1) for _ in range(4)]
            await until(lambda: not unfinished(world))
        return world.sql("SELECT status FROM public.crawl_jobs WHERE id = ANY(%s)", (good,))

    assert asyncio.run(story()) == [("completed",)] * 4
    ends = dict(world.sql("SELECT status, count(*) FROM public.crawl_jobs GROUP BY 1"))
    reasons = world.sql("SELECT id, reason FROM crawler.jobs WHERE state = 'failed'")
    complaints = [f"job {job} failed: {reason}" for job, reason in reasons if not REFUSALS.match(reason or "")]
    complaints += [f"asked for {given}" for given in node.arguments if not harmless(given)]
    complaints += [
        f"was told {text!r}" for (text,) in world.sql("SELECT message FROM public.notifications") if not text
    ]
    names = [name for (name,) in world.sql("SELECT filename FROM public.images")]
    complaints += [f"file {name!r}" for name in names if not MEMBER.fullmatch(name)]
    assert set(ends) == {"completed", "failed"}
    remarks = (
        f"{sum(refused_by_database.values())} refused by PostgreSQL {dict(refused_by_database)},"
        f" {ends['failed']} by us, {ends['completed'] - 4} crawled"
    )
    verdict(Verdict("9", "hostile rows", len(rows) + 1, len(jobs), complaints=complaints, remarks=remarks))


REFUSALS = re.compile("(keywords|max_images): expected|keywords: .* is not a text|keywords: the same one twice")
MEMBER = re.compile(r"[a-z0-9_-]+/[0-9]{6}_[0-9a-f]{12}\.jpg")


def harmless(given: dict[str, str]) -> bool:
    """Whether a node is asked for no more than a run of ours."""
    return (
        given.keys() == {"project", "spider", "jobid"}
        and given["project"] == "pixcrawler"
        and given["spider"] in source_names()
        and re.fullmatch(r"[0-9]+-[0-9]+", given["jobid"]) is not None
    )


HOSTILE_AND_REAL = [
    "../../../etc/passwd",
    "'; DROP TABLE images; -- %s {0}",
    "שלום כלום",
    "🦊 fox",
    "setting=TELNETCONSOLE_ENABLED=1",
    "-a _job=9-9 & jobid=7",
]


@pytest.mark.whole
def test_hostile_keywords_through_a_real_node(machine: Machine, source: Web, verdict):
    """All of them in one job of a hostile name, and a good job beside it."""
    for n, keyword in enumerate(HOSTILE_AND_REAL):
        source.results[keyword] = [f"/hostile-{n}/{k}.jpg" for k in range(2)]
        for k in range(2):
            source.put(f"/hostile-{n}/{k}.jpg", tiny(2 * n + k))
    statement = (
        "INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images)"
        " SELECT min(id), %s, %s, %s FROM public.projects RETURNING id"
    )
    number = 2 * len(HOSTILE_AND_REAL)
    [(job,)] = machine.sql(statement, (f"../../{HOSTILE_AND_REAL[1]}", json.dumps(HOSTILE_AND_REAL), number))
    machine.wanted[job] = number
    machine.job(3)
    machine.node(slots=2)
    machine.dispatcher()
    machine.exporter()
    result = judge(machine, "9", "hostile keywords, real node", len(HOSTILE_AND_REAL), 90)
    logs = [path.relative_to(machine.folder) for path in (machine.folder / "logs").rglob("*") if path.is_file()]
    result.complaints += [f"log {path}" for path in map(str, logs) if not LOG.fullmatch(path)]
    for (key,) in machine.sql("SELECT key FROM crawler.exports"):
        with zipfile.ZipFile(machine.folder / "storage" / key) as archive:
            names = archive.namelist()
        result.complaints += [
            f"member {name!r}" for name in names if name.endswith("jpg") and not INSIDE.fullmatch(name)
        ]
        result.complaints += [f"member {name!r}" for name in names if OUTSIDE.search(name)]
    result.remarks = f"members such as {names[-1]}"
    verdict(result)


LOG = re.compile(r"logs/crawl/pixcrawler/openverse/[0-9]+-[0-9]+\.log")
INSIDE = re.compile(r"(.+/)?[a-z0-9_-]+/[0-9]{6}_[0-9a-f]{12}\.jpg")
OUTSIDE = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|[\0\n]")
