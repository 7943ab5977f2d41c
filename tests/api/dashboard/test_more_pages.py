"""The dashboard beside the jobs: nodes, sources, projects, notifications, keys and usage, as plain pages and forms."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import lxml.html
import pytest
from api_servers import Api

Sql = Callable[..., list[tuple[Any, ...]]]

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PAGES = ("/nodes", "/sources", "/projects", "/notifications", "/usage", "/keys")


@pytest.fixture
def browser(local: Api) -> Iterator[httpx.Client]:
    """What a browser without scripts does, as the local user."""
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "Origin": local.url}
    with httpx.Client(base_url=local.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def programs(local: Api) -> Iterator[httpx.Client]:
    """The API, to the same user."""
    with local.client() as client:
        yield client


def read(response: httpx.Response) -> Any:
    """A page, checked for what none may have."""
    assert response.headers["content-type"].startswith("text/html"), response.text
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = lxml.html.fromstring(response.text)
    assert not page.xpath("//*[@style or @onclick or @onerror] | //style | //script[not(@src)]")
    return page


def send(browser: httpx.Client, page: str, action: str, **said: str) -> httpx.Response:
    """Fills in a form of a page as people do, and sends it."""
    [form] = [form for form in read(browser.get(page)).forms if form.action == action]
    return browser.post(action, data={**dict(form.form_values()), **said}, follow_redirects=True)


def test_pages_say_what_there_is_and_never_as_markup(browser: httpx.Client, programs: httpx.Client, rows: Sql) -> None:
    project = programs.post("projects/", json={"name": HOSTILE, "description": HOSTILE}).json()["id"]
    job = programs.post("crawl-jobs/", json={"keywords": [HOSTILE], "max_images": 5, "project": project}).json()["id"]
    programs.post("api-keys/", json={"name": HOSTILE})
    ((user,),) = rows("SELECT id FROM public.profiles WHERE email LIKE %s", ["%local%"])
    rows(
        "INSERT INTO public.notifications (user_id, type, title, message, metadata) VALUES (%s, 'info', %s, %s, %s)",
        [user, HOSTILE, HOSTILE, json.dumps({"crawl_job_id": HOSTILE})],
    )
    rows("INSERT INTO crawler.jobs (id, state, keywords, asked) VALUES (%s, 'crawling', '[]', 5)", [job])
    ((run,),) = rows(
        "INSERT INTO crawler.runs (job, generation, source, slices, state) VALUES (%s, 1, 'met', '{}', 'running')"
        " RETURNING id",
        [job],
    )
    rows(
        "INSERT INTO crawler.attempts (run, attempt, job, node, state, lease_until)"
        " VALUES (%s, 1, %s, '10.0.0.1:6800', 'running', now() - interval '1 s')",
        [run, job],
    )
    for path in (*PAGES, f"/projects/{project}"):
        answer = browser.get(path)
        page = read(answer)
        assert answer.status_code == 200, path
        assert page.xpath("//h1")
        assert page.xpath("//nav//a[@aria-current='page' or @class='open']"), path
    assert HOSTILE in read(browser.get("/projects")).text_content()
    at_work = read(browser.get("/nodes")).text_content()
    assert f"run {run}, attempt 1" in at_work
    assert "over" in at_work
    rows("DELETE FROM public.crawl_jobs WHERE id = %s", [job])


def test_a_node_says_how_it_is(browser: httpx.Client, local: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "slots": {"max_proc": 2, "running": 1, "pending": 3},
        "problems": ["3 jobs wait although a slot is free"],
        "disk_free": 5 * 10**9,
        "uptime": 93_784,
        "version": "1.2.3",
    }

    async def get(self: object, url: str, **_: object) -> httpx.Response:
        return httpx.Response(503, json=said, request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx.AsyncClient, "get", get)
    text = " ".join(read(browser.get("/nodes")).text_content().split())
    assert "wedged" in text
    assert "3 jobs wait although a slot is free" in text
    assert "5.0 GB" in text
    assert "1 d 2 h" in text


def test_projects_are_made_changed_and_deleted_by_forms(browser: httpx.Client, programs: httpx.Client) -> None:
    made = send(browser, "/projects", "/projects", name=" Otters ", description="of all kinds")
    assert read(made).xpath("//h1")[0].text == "Otters"
    path = made.url.path
    assert read(send(browser, path, path, name="Sea otters")).xpath("//h1")[0].text == "Sea otters"
    assert "archived" in read(send(browser, path, f"{path}/archive")).text_content()
    send(browser, path, f"{path}/restore")
    number = int(path.rpartition("/")[2])
    about = programs.get(f"projects/{number}").json()
    assert (about["name"], about["description"], about["status"]) == ("Sea otters", "of all kinds", "active")

    wrong = send(browser, "/projects", "/projects", name=" ", description="kept")
    assert wrong.status_code == 422
    [field] = read(wrong).xpath("//input[@name='name']")
    assert field.get("aria-invalid") == "true"
    assert read(wrong).xpath("//input[@name='description']")[0].value == "kept"
    assert send(browser, path, path, name="x" * 101).status_code == 422

    job = {"keywords": ["otter"], "max_images": 5, "project": number}
    programs.post("crawl-jobs/", json=job).raise_for_status()
    refused = send(browser, path, f"{path}/delete")
    assert (refused.status_code, "cancel them first" in refused.text) == (409, True)
    programs.post(f"crawl-jobs/{programs.get('crawl-jobs/').json()['items'][0]['id']}/cancel")
    assert send(browser, path, f"{path}/delete").url.path == "/projects"
    assert read(browser.get(path)).xpath("//h1")[0].text == "There is nothing here"


def test_a_key_is_shown_once_and_revoked(browser: httpx.Client, local: Api) -> None:
    made = send(browser, "/keys", "/keys", name="importer", scope="write", days="30")
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    [key] = re.findall(r"pxc_[0-9a-f]{32}_[0-9a-f]+", made.text)
    with local.client(key) as program:
        me = program.get("auth/me").json()
        assert (me["kind"], me["permissions"]) == ("key", ["read", "write"])
        again = browser.get("/keys")
        assert key not in again.text
        [action] = [
            form.action for form in read(again).forms if form.xpath(".//button[contains(@aria-label, 'importer')]")
        ]
        send(browser, "/keys", action)
        assert program.get("auth/me").status_code == 401
    assert send(browser, "/keys", "/keys", name="x", scope="everything").status_code == 422
    assert send(browser, "/keys", "/keys", name="").status_code == 422


def test_notifications_are_read_by_forms(browser: httpx.Client, programs: httpx.Client, rows: Sql) -> None:
    programs.post("notifications/mark-all-read")
    ((user,),) = rows("SELECT id FROM public.profiles WHERE email LIKE %s", ["%local%"])
    added = (
        "INSERT INTO public.notifications (user_id, type, title, message) VALUES (%s, 'info', %s, 'so it is')"
        " RETURNING id"
    )
    numbers = [rows(added, [user, title])[0][0] for title in ("First", "Second")]
    send(browser, "/notifications?unread=true", f"/notifications/{numbers[0]}")
    unread = read(browser.get("/notifications?unread=true")).text_content()
    assert ("First" in unread, "Second" in unread) == (False, True)
    send(browser, "/notifications", f"/notifications/{numbers[0]}")
    assert "First" in browser.get("/notifications?unread=true").text
    send(browser, "/notifications", "/notifications/read-all")
    assert "Nothing is unread" in browser.get("/notifications?unread=true").text


def test_usage_is_a_picture_and_numbers(browser: httpx.Client, rows: Sql) -> None:
    rows(
        "INSERT INTO public.usage_metrics (user_id, metric_date, images_processed, images_limit, storage_limit_gb,"
        " api_calls_limit, bandwidth_limit_gb)"
        " SELECT id, current_date - 1, 1234, 10000, 100, 50000, 500 FROM public.profiles WHERE email LIKE %s",
        ["%local%"],
    )
    page = read(browser.get("/usage"))
    bars = page.xpath("//svg//rect")
    assert len(bars) == 30
    assert float(bars[-2].get("height")) == 120
    assert "1,234" in page.xpath("//table[@class='figures']")[0].text_content()


@pytest.mark.parametrize("action", ["/projects", "/keys", "/notifications/read-all", "/sign-out"])
def test_forms_of_others_do_nothing(browser: httpx.Client, action: str, rows: Sql) -> None:
    form = read(browser.get("/projects")).forms[-1]
    said = {**dict(form.form_values()), "name": "theirs"}
    without = {name: value for name, value in said.items() if name != "pixcrawler_form"}
    assert browser.post(action, data=without).status_code == 403
    assert browser.post(action, data={**said, "pixcrawler_form": "guessed"}).status_code == 403
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert browser.post(action, data=said, headers=foreign).status_code == 403
    assert browser.get("/projects", headers={"Host": "evil.example"}).status_code == 421
    assert rows("SELECT count(*) FROM public.projects WHERE name = 'theirs'") == [(0,)]
