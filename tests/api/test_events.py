"""Streams of events: what a listener hears, misses, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from api_servers import Api, serving
from sqlalchemy import event

from pixcrawler.api import events
from pixcrawler.api.events import Events
from pixcrawler.api.gate import Caller
from pixcrawler.db import engine, overview
from pixcrawler.owners.keys import Scope

Sql = Callable[..., list[tuple[Any, ...]]]
Event = dict[str, str]


@pytest.fixture
def job(ada: httpx.Client) -> int:
    project = ada.post("projects/", json={"name": "Mine"}).json()["id"]
    wanted = {"keywords": ["otter"], "max_images": 5, "project": project}
    number: int = ada.post("crawl-jobs/", json=wanted).json()["id"]
    return number


def heard(lines: Iterator[str]) -> Iterator[Event]:
    """Events, without heartbeats."""
    told: Event = {}
    for line in lines:
        if not line and told:
            yield told
            told = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            told[name] = value


def go_on(rows: Sql, job: int, **columns: Any) -> None:
    values = ", ".join(f"{name} = %s" for name in columns)
    rows(f"UPDATE public.crawl_jobs SET {values} WHERE id = %s", [*columns.values(), job])


def end(rows: Sql, job: int) -> None:
    rows(
        "INSERT INTO crawler.jobs (id, state, keywords, requested, asked, kept, outcome) VALUES"
        " (%s, 'completed', '[]', 5, 5, 5, 'full')"
        " ON CONFLICT (id) DO UPDATE SET state = 'completed', kept = 5, outcome = 'full'",
        [job],
    )


def test_a_listener_hears_what_changes_until_the_end(ada: httpx.Client, rows: Sql, job: int) -> None:
    with ada.stream("GET", f"crawl-jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = heard(stream.iter_lines())
        assert json.loads(next(told)["data"])["status"] == "pending"
        go_on(rows, job, status="running", valid_images=2)
        assert json.loads(next(told)["data"])["valid_images"] == 2
        end(rows, job)
        last = next(told)
        assert (last["event"], json.loads(last["data"])["outcome"]) == ("ended", "full")
        assert list(told) == []
    again = ada.get(f"crawl-jobs/{job}/events", headers={"Last-Event-ID": last["id"]})
    assert again.status_code == 204
    late = ada.get(f"crawl-jobs/{job}/events", headers={"Last-Event-ID": "of long ago"})
    assert [one["id"] for one in heard(late.iter_lines())] == [last["id"]]


def test_who_comes_back_is_told_only_what_is_new(ada: httpx.Client, rows: Sql, job: int) -> None:
    with ada.stream("GET", f"crawl-jobs/{job}/events") as stream:
        first = next(heard(stream.iter_lines()))
    with ada.stream("GET", f"crawl-jobs/{job}/events", headers={"Last-Event-ID": first["id"]}) as stream:
        go_on(rows, job, progress=40)
        assert json.loads(next(heard(stream.iter_lines()))["data"])["progress"] == 40


def test_a_stream_ends_with_its_key(api: Api, ada: httpx.Client, job: int) -> None:
    key = ada.post("api-keys/", json={"name": "mine"}).json()
    with api.client(key["key"]) as program, program.stream("GET", f"crawl-jobs/{job}/events") as stream:
        told = heard(stream.iter_lines())
        next(told)
        ada.delete(f"api-keys/{key['about']['id']}")
        began = time.monotonic()
        assert list(told) == []
        assert time.monotonic() - began < 5


def test_a_stream_ends_when_the_job_is_gone_and_with_the_server(
    shared_database_url: str, data_dir: Any, issuer: Any, ada: httpx.Client, rows: Sql, job: int
) -> None:
    with serving(shared_database_url, data_dir, supabase_url=issuer.url) as other:
        with other.client() as client:
            client.headers["Authorization"] = ada.headers["Authorization"]
            with client.stream("GET", f"crawl-jobs/{job}/events") as stream:
                told = heard(stream.iter_lines())
                next(told)
                rows("DELETE FROM crawler.jobs WHERE id = %s", [job])
                rows("DELETE FROM public.crawl_jobs WHERE id = %s", [job])
                assert list(told) == []
        job = ada.post("crawl-jobs/", json={"keywords": ["otter"], "max_images": 5, "project": _newest(ada)}).json()[
            "id"
        ]
        client = other.client()
        client.headers["Authorization"] = ada.headers["Authorization"]
        stream = client.send(client.build_request("GET", f"crawl-jobs/{job}/events"), stream=True)
        next(stream.iter_lines())
    client.close()


def _newest(client: httpx.Client) -> int:
    number: int = client.get("projects/").json()["items"][0]["id"]
    return number


def test_any_number_of_streams_ask_one_question(
    shared_database_url: str, rows: Sql, job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever goes away is forgotten; a silent stream beats."""
    monkeypatch.setattr(events, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.5)
    statements: list[str] = []

    async def story() -> None:
        pool = engine.create(shared_database_url, application_name="test", pool_size=2)
        hub = Events(pool)
        async with engine.transaction(pool) as connection:
            seen = (await overview.progress(connection, [job]))[job]
        event.listen(pool.sync_engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
        caller = Caller(UUID(int=1), "token", frozenset(Scope), until=time.time() + 3600)
        streams = [hub.open(seen, caller, None) for _ in range(200)]
        await asyncio.gather(*map(anext, streams))
        statements.clear()
        go_on(rows, job, progress=7)
        told = await asyncio.gather(*map(anext, streams))
        assert len(set(told)) == 1
        assert b'"progress": 7' in told[0]
        assert len(statements) < 20
        assert await anext(streams[0]) == events.HEARTBEAT
        for stream in streams:
            await _close(stream)
        await asyncio.sleep(0.2)
        statements.clear()
        await asyncio.sleep(0.2)
        assert statements == []
        await hub.close()
        await pool.dispose()

    asyncio.run(story())


async def _close(stream: AsyncIterator[bytes]) -> None:
    await stream.aclose()  # type: ignore[attr-defined]
