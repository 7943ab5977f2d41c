"""A dispatcher under test: a real database, a loopback node that answers as Scrapyd does, and crawls played by hand."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from pixcrawler.config import Config
from pixcrawler.db.ledger import PostgresLedger
from pixcrawler.dispatcher import Dispatcher
from pixcrawler.items import ImageItem, Inspection
from pixcrawler.jobs import AttemptState, Outcome, Reason, Spent
from pixcrawler.sources import catalogue


class Node:
    """Answers like a Scrapyd node. Tests set `states` of jobs, or `refusal`."""

    def __init__(self) -> None:
        self.scheduled: list[str] = []
        self.cancelled: list[tuple[str, str]] = []
        self.states: dict[str, str] = {}
        self.refusal: str | None = None
        self.loses: str | None = None  # "request": it never arrives; "answer": it is heeded, and nobody is told
        self.hangs = False  # accepts connections, and never answers
        self.conflicts = False  # knows every job already, as our node says of one it has met
        self.unauthorised = False
        self.stopping = False  # takes no orders
        self.starts = "running"  # what becomes of a job that is scheduled; "pending" for ever: the node is wedged
        self.asked = threading.Event()
        self.ended = threading.Event()
        self.url = ""

    def answer(self, service: str, values: dict[str, str]) -> dict[str, Any]:
        if self.refusal:
            return {"status": "error", "message": self.refusal}
        if service == "schedule.json":
            self.scheduled.append(values["jobid"])
            self.states[values["jobid"]] = self.starts
        elif service == "cancel.json":
            self.cancelled.append((values["job"], values["signal"]))
            if self.states.get(values["job"]) == "pending":
                del self.states[values["job"]]
        return {"status": "ok", "currstate": self.states.get(values.get("job", ""))}


@contextmanager
def serving(node: Node) -> Iterator[Node]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, values: str) -> None:
            given = {name: texts[0] for name, texts in parse_qs(values).items()}
            node.asked.set()
            if node.hangs:
                node.ended.wait()
                self.close_connection = True
                return
            if node.loses:
                if node.loses == "answer":
                    node.answer(urlsplit(self.path).path.strip("/"), given)
                self.close_connection = True
                return
            service = urlsplit(self.path).path.strip("/")
            ordered = service == "schedule.json"
            known = node.conflicts and ordered
            refused = node.stopping and ordered
            answer = {"status": "error", "message": "no"} if known or refused else node.answer(service, given)
            body = json.dumps(answer).encode() if not node.unauthorised else b"<html>Unauthorized</html>"
            self.send_response(409 if known else 401 if node.unauthorised else 503 if refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    node.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield node
    finally:
        node.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


class World:
    """What a test does: insert jobs as the front end would, tick, play crawl processes, look at rows."""

    def __init__(self, settings: Config, node: Node, sql: Callable[..., list[tuple[Any, ...]]]) -> None:
        self.settings = settings
        self.node = node
        self.sql = sql

    def insert(self, keywords: object, max_images: int = 10, options: dict[str, Any] | None = None) -> int:
        project = self.sql("SELECT id FROM public.projects ORDER BY id LIMIT 1")[0][0]
        job: int = self.sql(
            "INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images) VALUES (%s, 'pets', %s, %s)"
            " RETURNING id",
            (project, json.dumps(keywords), max_images),
        )[0][0]
        if options:
            self.sql(
                "INSERT INTO crawler.jobs (id, state, keywords, asked, options) VALUES (%s, 'pending', '[]', 1, %s)",
                (job, json.dumps(options)),
            )
        return job

    def tick(self, times: int = 1, **changes: Any) -> None:
        asyncio.run(self._tick(times, self.settings.model_copy(update=changes)))

    async def _tick(self, times: int, settings: Config) -> None:
        assert settings.database_url is not None
        for _ in range(times):
            dispatcher = Dispatcher(settings.database_url.get_secret_value(), settings, catalogue())
            try:
                await dispatcher.tick()
            finally:
                await dispatcher.close()

    def run(self, story: Callable[[Dispatcher], Awaitable[Any]], **changes: Any) -> Any:
        """Tells a story of one dispatcher, which remembers."""
        return asyncio.run(self._run(story, self.settings.model_copy(update=changes)))

    async def _run(self, story: Callable[[Dispatcher], Awaitable[Any]], settings: Config) -> Any:
        assert settings.database_url is not None
        dispatcher = Dispatcher(settings.database_url.get_secret_value(), settings, catalogue())
        try:
            return await story(dispatcher)
        finally:
            await dispatcher.close()

    def crawl(self, attempt: str, play: Callable[[PostgresLedger], Any], **changes: Any) -> Any:
        """Plays a crawl process; Scrapyd sees it end."""
        try:
            return asyncio.run(self._crawl(attempt, play, self.settings.model_copy(update=changes)))
        finally:
            self.node.states[attempt] = "finished"

    async def _crawl(self, attempt: str, play: Callable[[PostgresLedger], Any], settings: Config) -> Any:
        async with ledger(settings, attempt) as book:
            return await play(book)

    def job(self, job: int) -> dict[str, Any]:
        """The front end's row."""
        names = "status progress total_images downloaded_images valid_images active_chunks completed_chunks task_ids"
        row = self.sql(f"SELECT {names.replace(' ', ',')} FROM public.crawl_jobs WHERE id = %s", (job,))[0]
        return dict(zip(names.split(), row, strict=True))

    def state(self, job: int) -> tuple[Any, ...]:
        """Our row: state, kept, outcome, reason."""
        return self.sql("SELECT state, kept, outcome, reason FROM crawler.jobs WHERE id = %s", (job,))[0]

    def decisions(self, job: int) -> dict[str, int]:
        rows = self.sql("SELECT decision, count(*) FROM crawler.candidates WHERE job = %s GROUP BY 1", (job,))
        return {decision or "open": number for decision, number in rows}

    def notices(self) -> list[tuple[Any, ...]]:
        return self.sql("SELECT type, title, message FROM public.notifications ORDER BY id")


class Owner:
    """A user with one project, who asks for jobs in the front end; without an account, if `credits_` is None."""

    def __init__(self, world: Any, credits_: int | None) -> None:
        self.world = world
        self.id = uuid4()
        who = (self.id, f"{self.id}@example.test")
        world.sql("INSERT INTO auth.users (id, email) VALUES (%s, %s)", who)
        world.sql("INSERT INTO public.profiles (id, email) VALUES (%s, %s) ON CONFLICT DO NOTHING", who)
        world.sql("DELETE FROM public.credit_accounts WHERE user_id = %s", (self.id,))
        if credits_ is not None:
            self._pay_in(credits_)
        rows = world.sql("INSERT INTO public.projects (name, user_id) VALUES ('p', %s) RETURNING id", (self.id,))
        self.project = rows[0][0]

    def _pay_in(self, credits_: int) -> None:
        [(account,)] = self.world.sql(
            "INSERT INTO public.credit_accounts (user_id, current_balance) VALUES (%s, %s) RETURNING id",
            (self.id, credits_),
        )
        self.world.sql(
            "INSERT INTO public.credit_transactions (account_id, user_id, type, description, amount, balance_after)"
            " VALUES (%s, %s, 'purchase', 'credits', %s, %s)",
            (account, self.id, credits_, credits_),
        )

    def ask(self, number: int = 1, keywords: str = '["cat"]', max_images: int = 10) -> list[int]:
        """Pending jobs, in order."""
        rows = self.world.sql(
            "INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images)"
            " SELECT %s, 'pets', %s, %s FROM generate_series(1, %s) RETURNING id",
            (self.project, keywords, max_images, number),
        )
        return sorted(job for (job,) in rows)

    def running(self) -> list[int]:
        """The jobs that were claimed, as the front end shows it."""
        rows = self.world.sql(
            "SELECT id FROM public.crawl_jobs WHERE project_id = %s AND status = 'running' ORDER BY id", (self.project,)
        )
        return [job for (job,) in rows]

    @property
    def balance(self) -> int:
        """The credits, as the front end shows them."""
        [(balance,)] = self.world.sql(
            "SELECT current_balance FROM public.credit_accounts WHERE user_id = %s", (self.id,)
        )
        return int(balance)

    def ledger(self) -> list[tuple[str, str, int, int]]:
        """The transactions since the first: type, status, amount, balance after."""
        rows: list[tuple[str, str, int, int]] = self.world.sql(
            "SELECT type, status, amount, balance_after FROM public.credit_transactions"
            " WHERE user_id = %s AND type <> 'purchase' ORDER BY created_at, amount",
            (self.id,),
        )
        return rows

    def ledger_sum(self) -> int:
        """What the transactions of the account sum to."""
        [(total,)] = self.world.sql("SELECT sum(amount) FROM public.credit_transactions WHERE user_id = %s", (self.id,))
        return int(total)


@asynccontextmanager
async def ledger(settings: Config, attempt: str) -> Any:
    book = PostgresLedger(settings, attempt)
    try:
        yield book
    finally:
        await book.dispose()


def pictures(*numbers: int, keyword: str = "cat", source: str = "openverse") -> list[ImageItem]:
    return [ImageItem(f"https://pictures.example/{n}.jpg", source, keyword, title=f"No {n}") for n in numbers]


def stored(item: ImageItem, look: int | None = None) -> ImageItem:
    """The item as the upload leaves it; pictures with the same `look` have the same bytes."""
    seed = item.url if look is None else str(look)
    sha256 = hashlib.sha256(seed.encode()).hexdigest()
    item.inspection = Inspection(sha256, 70_000, "jpeg", 800, 600, 1, int(sha256[:16], 16), flat=False)
    item.received = True
    item.storage_key = f"jobs/1/images/{sha256[:2]}/{sha256}.jpg"
    item.storage_url = f"file:///{item.storage_key}"
    return item


async def bring(book: PostgresLedger, items: list[Any], spent: Spent | None = Spent.EXHAUSTED) -> list[Reason | None]:
    """Books a page of pictures and keeps each."""
    todo = await book.add_page(items[0].keyword, items, 2, spent)
    await book.begin(todo)
    return list(await asyncio.gather(*(book.keep(stored(item)) for item in todo)))


def crawling(number: int, spent: Spent | None = None, *, first: int = 1, keyword: str = "cat", end: bool = True) -> Any:
    """A crawl that finds `number` pictures of one keyword and keeps what it may."""

    async def play(book: PostgresLedger) -> list[Reason | None] | None:
        if await book.open() is None:
            return None
        results = await bring(book, pictures(*range(first, first + number), keyword=keyword), spent)
        if end:
            missing = book.missing(keyword)
            await book.close(Outcome(AttemptState.SHORT, "had no more") if missing else Outcome(AttemptState.SUCCEEDED))
        return results

    return play


@pytest.fixture
def node() -> Iterator[Node]:
    with serving(Node()) as node:
        yield node


@pytest.fixture
def settings(database_url: str, node: Node, tmp_path: Path) -> Config:
    return Config(
        database_url=database_url,
        data_dir=tmp_path,
        scrapyd_nodes=(f"{node.url}#4",),
        lease_seconds=60,
        retry_seconds=0.001,
        default_sources=("openverse",),
        source_limits=("openverse:1000",),  # as if it were a server of ours
        job_limits=("0:1000",),
    )


@pytest.fixture
def world(settings: Config, node: Node, sql: Callable[..., list[tuple[Any, ...]]]) -> World:
    return World(settings, node, sql)


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every source gets a run, however few pictures are wanted of it."""
    monkeypatch.setattr("pixcrawler.jobs.RUN_IMAGES", (1, 500))
