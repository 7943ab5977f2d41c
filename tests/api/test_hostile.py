"""What strangers send, and what pages of other sites try."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from api_servers import Api, serving

from pixcrawler.api import guard
from pixcrawler.config import Config
from pixcrawler.errors import UsageError

Sql = Callable[..., list[tuple[Any, ...]]]

GOOD = '{"keywords": ["otter"], "max_images": %s, "name": %s}'
BODIES = {
    "no JSON": b"{",
    "not UTF-8": b'{"keywords": ["\xff\xfe"], "max_images": 5}',
    "deeply nested": b'{"keywords": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not a number": (GOOD % ("NaN", '"x"')).encode(),
    "infinite": (GOOD % ("Infinity", '"x"')).encode(),
    "a huge number": (GOOD % ("9" * 5000, '"x"')).encode(),
    "a large number": (GOOD % ("1" + "0" * 400, '"x"')).encode(),
    "a NUL character": (GOOD % ("5", '"a\\u0000b"')).encode(),
    "half a character": (GOOD % ("5", '"\\ud800"')).encode(),
    "half a character in a name": b'{"keywords": ["otter"], "max_images": 5, "\\udfff": 1}',
    "an array": b"[]",
    "nothing": b"",
    "text for a number": (GOOD % ('"5"', '"x"')).encode(),
    "a truth for a number": (GOOD % ("true", '"x"')).encode(),
    "a project beyond all": b'{"keywords": ["otter"], "max_images": 5, "project": 99999999999999999999}',
}


@pytest.mark.parametrize("case", BODIES)
def test_hostile_bodies_are_refused(ada: httpx.Client, case: str) -> None:
    answer = ada.post("crawl-jobs/", content=BODIES[case], headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] in ("malformed", "invalid")


def test_lists_may_be_larger_than_other_bodies(ada: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LIST_BYTES", 3_000_000)
    line = b"https://pictures.example/otter.jpg\n"
    stored = ada.post("crawl-jobs/lists", params={"filename": "a.txt"}, content=line * 60_000)
    assert (stored.status_code, stored.json()["size"]) == (201, len(line) * 60_000)
    refused = ada.post("crawl-jobs/lists", params={"filename": "a.txt"}, content=line * 90_000)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


def test_what_may_be_done_at_a_path_is_told(ada: httpx.Client) -> None:
    answer = ada.put("projects/1")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, PATCH"


def test_a_body_of_another_kind_is_no_json(ada: httpx.Client) -> None:
    body = json.dumps({"keywords": ["otter"], "max_images": 5})
    assert ada.post("crawl-jobs/", content=body, headers={"Content-Type": "text/plain"}).status_code == 422


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_are_limited(ada: httpx.Client, chunked: bool) -> None:
    body = b'{"keywords": ["' + b"x" * 1_000_000 + b'"]}'
    content = iter([body[:500_000], body[500_000:]]) if chunked else body
    answer = ada.post("crawl-jobs/", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "query",
    [*("limit=101", "limit=0", "limit=x", "project=0", "status=odd"), *("cursor=x", "cursor=W10=", "cursor=W251bGxd")],
)
def test_pages_are_limited(ada: httpx.Client, query: str) -> None:
    assert ada.get(f"crawl-jobs/?{query}").json()["code"] == "invalid"


def test_a_nul_in_a_question_is_no_error_of_ours(ada: httpx.Client) -> None:
    job = ada.post("projects/", json={"name": "x"}).json()["id"]
    assert ada.get("crawl-jobs/1/images?keyword=%00").status_code == 422
    assert ada.get(f"projects/{job}%00").status_code == 422


# -- browsers


def test_a_name_that_only_leads_here_is_not_ours(local: Api) -> None:
    with local.client(Host="attacker.example") as rebound:
        answer = rebound.get("crawl-jobs/")
        assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")
        assert rebound.get("health/").status_code == 200
    with local.client(Host="localhost:8000") as fine:
        assert fine.get("crawl-jobs/").status_code == 200


FOREIGN = [
    {"Origin": "https://attacker.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_pages_of_other_sites_change_nothing(local: Api, headers: dict[str, str], rows: Sql) -> None:
    with local.client(**headers) as page:
        answer = page.post("projects/", json={"name": "Taken"})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
        assert "access-control-allow-origin" not in page.get("projects/").headers
    assert rows("SELECT count(*) FROM public.projects WHERE name = 'Taken'") == [(0,)]


def test_our_own_pages_and_programs_do(local: Api) -> None:
    with local.client(Origin=local.url, **{"Sec-Fetch-Site": "same-origin"}) as page, local.client() as program:
        assert page.post("projects/", json={"name": "Mine"}).status_code == 201
        assert program.post("projects/", json={"name": "Mine"}).status_code == 201


def test_whoever_is_passed_on_by_a_server_is_not_local(local: Api) -> None:
    with local.client(**{"X-Forwarded-For": "203.0.113.7"}) as passed_on:
        assert passed_on.get("crawl-jobs/").status_code == 401


def test_the_front_end_may_ask_from_its_own_origin(shared_database_url: str, data_dir: Any, issuer: Any) -> None:
    origin = "https://app.example.org"
    changes = {"supabase_url": issuer.url, "allowed_origins": (origin,)}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with serving(shared_database_url, data_dir, **changes) as api, api.client(Origin=origin) as page:
        allowed = page.options("projects/", headers=asked)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, origin)
        assert "access-control-allow-credentials" not in allowed.headers
        assert page.post("projects/", json={"name": "x"}).headers["access-control-allow-origin"] == origin


# -- time and addresses


def test_whoever_takes_too_long_is_told_so(local: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.3)
    address = urlsplit(local.url)
    with socket.create_connection((address.hostname, address.port)) as slow:
        slow.sendall(
            b"POST /api/v1/projects/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert slow.recv(1000).startswith(b"HTTP/1.1 503 ")


def test_without_logins_it_listens_on_this_machine_only(shared_database_url: str, data_dir: Any) -> None:
    with (
        pytest.raises(UsageError, match=r"HOST=0\.0\.0\.0: without SUPABASE_URL"),
        serving(shared_database_url, data_dir, host="0.0.0.0"),
    ):
        pass


def test_a_port_that_is_taken_is_named(shared_database_url: str, data_dir: Any, local: Api) -> None:
    port = urlsplit(local.url).port
    with pytest.raises(UsageError, match=f"PORT={port}"), serving(shared_database_url, data_dir, port=port):
        pass


def test_a_database_with_users_of_its_own_needs_logins(database_url: str, sql: Sql, data_dir: Any) -> None:
    sql("COMMENT ON SCHEMA auth IS NULL")
    with pytest.raises(UsageError, match="SUPABASE_URL is needed"), serving(database_url, data_dir):
        pass


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("allowed_origins", "*"),
        ("allowed_origins", "https://app.example.org/path"),
        ("supabase_url", "http://project.supabase.co"),
        ("request_limits", "user:10"),
        ("request_limits", "user:10,address:0,failures:1"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Config(**{field: value})  # type: ignore[arg-type]
