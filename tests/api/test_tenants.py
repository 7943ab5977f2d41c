"""Two users, three kinds of keys, every route and page: nobody sees or changes what is another's, or knows of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from api_servers import Api

from pixcrawler.api import dashboard
from pixcrawler.api.dashboard.visitors import FORM_TOKEN, SESSION

Sql = Callable[..., list[tuple[Any, ...]]]
Operation = tuple[str, str]

SCOPES = ("read", "write", "admin")
MISSING = 2**31 - 1
OPEN = {("GET", "/api/v1/health/"), ("GET", "/files/{key}"), ("HEAD", "/files/{key}")}
PAGES = [
    (method, route.path)
    for module in dashboard.PAGES
    for route in module.routes.routes
    for method in route.methods  # type: ignore[attr-defined]
    if not route.path.startswith("/sign-")  # type: ignore[attr-defined]
]

# What a request needs to be one at all.
BODIES: dict[Operation, Any] = {
    ("POST", "/api/v1/crawl-jobs/"): {"keywords": ["otter"], "max_images": 5},
    ("POST", "/api/v1/crawl-jobs/{job}/extend"): {"max_images": 1000},
    ("POST", "/api/v1/crawl-jobs/{job}/exports"): {},
    ("POST", "/api/v1/crawl-jobs/{job}/tier"): {"tier": "warm"},
    ("POST", "/api/v1/projects/"): {"name": "Mine"},
    ("PATCH", "/api/v1/projects/{project}"): {"name": "Taken"},
    ("PATCH", "/api/v1/notifications/{notification}"): {"is_read": True},
    ("POST", "/api/v1/api-keys/"): {"name": "mine"},
}
# Every table in which a user has rows, and whose they are.
OWNED = """
    SELECT 'projects', p::text FROM public.projects p WHERE user_id = %(user)s
    UNION ALL SELECT 'jobs', j::text FROM public.crawl_jobs j JOIN public.projects p ON p.id = j.project_id
        WHERE p.user_id = %(user)s
    UNION ALL SELECT 'notifications', n::text FROM public.notifications n WHERE user_id = %(user)s
    UNION ALL SELECT 'keys', k.id || k.status FROM public.api_keys k WHERE user_id = %(user)s
    ORDER BY 1, 2
"""


@pytest.fixture(scope="module")
def operations(api: Api) -> list[Operation]:
    paths = httpx.get(f"{api.url}/openapi.json", trust_env=False).json()["paths"]
    return [(method.upper(), path) for path, item in paths.items() for method in item]


@pytest.fixture
def programs(api: Api, ada: httpx.Client) -> Iterator[dict[str, httpx.Client]]:
    """Ada's programs, by what their keys permit."""
    made = {
        scope: ada.post("api-keys/", json={"name": scope, "permissions": [scope]}).json()["key"] for scope in SCOPES
    }
    clients = {scope: api.client(key) for scope, key in made.items()}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture
def theirs(api: Api, bob: httpx.Client, rows: Sql) -> dict[str, str]:
    """What is Bob's, by the name it has in paths."""
    project = bob.post("projects/", json={"name": "Bob's"}).json()["id"]
    job = bob.post("crawl-jobs/", json={"keywords": ["secret"], "max_images": 5, "project": project}).json()["id"]
    rows("INSERT INTO crawler.jobs (id, state, keywords, asked) VALUES (%s, 'crawling', '[]', 5)", [job])
    ((export,),) = rows(
        "INSERT INTO crawler.exports (job, generation, version, format, tier, awaited, state, key, size, sha256)"
        " VALUES (%s, 1, 1, 'zip', 'hot', true, 'done', 'jobs/x/dataset.zip', 1, '') RETURNING id",
        [job],
    )
    ((notification,),) = rows(
        "INSERT INTO public.notifications (user_id, type, title, message) VALUES (%s, 'info', 'For Bob', 'secret')"
        " RETURNING id",
        [api.users["bob@example.org"]],
    )
    ((picture,),) = rows(
        "INSERT INTO public.images (crawl_job_id, original_url, filename, metadata)"
        " VALUES (%s, 'https://secret.example/1.jpg', '1.jpg', %s) RETURNING id",
        [job, json.dumps({"storage_key": "jobs/x/1.jpg"})],
    )
    key = bob.post("api-keys/", json={"name": "Bob's"}).json()["about"]["id"]
    ids = {"project": project, "job": job, "export": export, "notification": notification, "key": key}
    more = {"picture": picture, "size": "original", "run": 1, "attempt": 1}
    return {name: str(value) for name, value in {**ids, **more}.items()}


def ask(client: httpx.Client, operation: Operation, ids: dict[str, str]) -> httpx.Response:
    method, path = operation
    body = {} if operation not in BODIES else {"json": BODIES[operation]}
    if path.endswith("/lists"):
        body = {"params": {"filename": "a.txt"}, "content": b"https://pictures.example/1.jpg"}
    return client.request(method, path.format(**ids).removeprefix("/api/v1/"), **body)


def test_what_is_anothers_is_as_if_it_were_not_there(
    api: Api, ada: httpx.Client, programs: dict[str, httpx.Client], operations: list[Operation], theirs: Any, rows: Sql
) -> None:
    bob = {"user": api.users["bob@example.org"]}
    before = rows(OWNED, bob)
    missing = {**dict.fromkeys(theirs, str(MISSING)), "key": str(uuid4())}
    tried = [operation for operation in operations if "{" in operation[1] and operation not in OPEN]
    assert len(tried) > 15
    for operation in tried:
        for client in (ada, *programs.values()):
            foreign, none = ask(client, operation, theirs), ask(client, operation, missing)
            assert (foreign.status_code, foreign.content) == (none.status_code, none.content), operation
            assert foreign.status_code in (403, 404), operation
    assert rows(OWNED, bob) == before


def test_lists_show_nothing_of_anothers(
    ada: httpx.Client, programs: dict[str, httpx.Client], operations: list[Operation], theirs: dict[str, str]
) -> None:
    shown = [operation for operation in operations if operation[0] == "GET" and "{" not in operation[1]]
    for operation in shown:
        for client in (ada, *programs.values()):
            answer = ask(client, operation, {})
            assert answer.status_code in (200, 403), operation
            assert "secret" not in answer.text
            assert "Bob" not in answer.text
            assert theirs["key"] not in answer.text


def needed(operation: Operation) -> str:
    method, path = operation
    if "api-keys" in path:
        return "admin"
    return "read" if method == "GET" or path.endswith("verify-token") else "write"


def test_a_key_does_what_it_permits_and_nothing_else(
    programs: dict[str, httpx.Client], operations: list[Operation]
) -> None:
    ids = {
        **dict.fromkeys(("project", "job", "export", "notification"), str(MISSING)),
        "key": str(uuid4()),
        "run": "1",
        "attempt": "1",
    }
    for operation in operations:
        if operation in OPEN:
            continue
        for scope, client in programs.items():
            answer = ask(client, operation, ids)
            may = SCOPES.index(scope) >= SCOPES.index(needed(operation))
            assert (answer.status_code == 403) is not may, (operation, scope, answer.text)


def test_nobody_comes_in_unknown(api: Api, operations: list[Operation], theirs: dict[str, str]) -> None:
    with api.client() as stranger:
        for operation in operations:
            if operation not in OPEN:
                assert ask(stranger, operation, theirs).status_code == 401, operation


# -- pages


@pytest.fixture
def browsers(api: Api, rows: Sql, programs: dict[str, httpx.Client]) -> Iterator[dict[str, httpx.Client]]:
    """Ada's browsers, by what she has signed in with."""
    assert api.issuer is not None
    token = api.issuer.token(api.user(rows, "ada@example.org"), email="ada@example.org")
    keys = {scope: program.headers["authorization"].removeprefix("Bearer ") for scope, program in programs.items()}
    clients = {name: browser(api, credentials) for name, credentials in {"token": token, **keys}.items()}
    yield clients
    for client in clients.values():
        client.close()


def browser(api: Api, credentials: str | None = None) -> httpx.Client:
    cookies = {FORM_TOKEN: "same"} | ({SESSION: credentials} if credentials else {})
    headers = {"Accept": "text/html"}
    return httpx.Client(base_url=api.url, headers=headers, cookies=cookies, timeout=30, trust_env=False)


def open_page(client: httpx.Client, operation: Operation, ids: dict[str, str]) -> httpx.Response:
    method, path = operation
    said = {"data": {FORM_TOKEN: "same", **FILLED_IN}} if method == "POST" else {}
    return client.request(method, path.format(**ids), **said)  # type: ignore[arg-type]


# What makes sense in any form.
FILLED_IN = {
    "name": "Mine",
    "scope": "read",
    "days": "30",
    "keywords": "otter",
    "max_images": "1000",
    "format": "zip",
    "tier": "warm",
}
NOWHERE = {
    **dict.fromkeys(("project", "job", "export", "notification", "picture"), str(MISSING)),
    "key": str(uuid4()),
    "size": "original",
    "run": "1",
    "attempt": "1",
}


def test_pages_show_and_change_nothing_of_anothers(
    api: Api, browsers: dict[str, httpx.Client], theirs: dict[str, str], rows: Sql
) -> None:
    bob = {"user": api.users["bob@example.org"]}
    before = rows(OWNED, bob)
    for operation in PAGES:
        for name, client in browsers.items():
            answer = open_page(client, operation, theirs)
            assert "secret" not in answer.text, operation
            assert "Bob" not in answer.text, operation
            if "{" in operation[1]:
                assert answer.status_code in (403, 404), (operation, name)
                assert answer.text == open_page(client, operation, NOWHERE).text, operation
    assert rows(OWNED, bob) == before


def test_a_key_opens_the_pages_it_permits_and_no_others(
    api: Api, ada: httpx.Client, browsers: dict[str, httpx.Client], rows: Sql
) -> None:
    made = ada.post("api-keys/", json={"name": "of another time"}).json()
    rows("UPDATE public.api_keys SET permissions = '[\"all\"]' WHERE id = %s", [made["about"]["id"]])
    with browser(api, made["key"]) as powerless:
        for operation in PAGES:
            for rank, scope in enumerate(SCOPES):
                may = rank >= SCOPES.index(permitting(operation))
                assert (open_page(browsers[scope], operation, NOWHERE).status_code == 403) is not may, (
                    operation,
                    scope,
                )
            assert open_page(powerless, operation, NOWHERE).status_code == 403, operation


def permitting(page: Operation) -> str:
    method, path = page
    if path.startswith("/keys"):
        return "admin"
    return "read" if method == "GET" and path != "/jobs/new" else "write"


def test_who_is_not_known_signs_in_first(api: Api, theirs: dict[str, str]) -> None:
    with browser(api) as stranger, browser(api, "pxc_of_nobody") as liar:
        for operation in PAGES:
            for client in (stranger, liar):
                answer = open_page(client, operation, theirs)
                assert answer.status_code == 303, operation
                assert answer.headers["location"].startswith("/sign-in?"), operation
