"""Pages as a browser without scripts meets them: who sees what, what strangers wrote, which forms are taken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import lxml.html
import pytest
from api_servers import Api, Issuer, serving
from pictures import encoded, photo
from PIL import Image
from psycopg.types.json import Json

from pixcrawler.api.dashboard import words
from pixcrawler.api.dashboard.problem_page import TITLES
from pixcrawler.api.problems import Code
from pixcrawler.jobs import AttemptState, ExportState, JobState, Reason, RunState
from pixcrawler.storage.local import LocalStorage

Sql = Callable[..., list[tuple[Any, ...]]]

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"
PAGES = ("", "/pictures", "/rejected", "/duplicates", "/runs", "/datasets", "/events")
FORMS = ("/cancel", "/retry", "/extend", "/datasets", "/tier")
SIDE = 360  # pixels, of a small picture
BODY = encoded(photo(1, (640, 480)))


class Browser:
    """One that runs no scripts: it follows links and redirects, keeps cookies, and sends forms with what is in them."""

    def __init__(self, url: str) -> None:
        headers = {"Accept": "text/html,*/*", "Sec-Fetch-Site": "same-origin"}
        self.client = httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, follow_redirects=True, **options)

    def page(self, path: str, status: int = 200) -> Any:
        answer = self.get(path)
        assert answer.status_code == status, answer.text
        return lxml.html.document_fromstring(answer.text)

    @property
    def token(self) -> str:
        return self.client.cookies["pixcrawler_form"]

    def post(self, path: str, fields: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
        """A form of ours; the page after it is not asked for."""
        if "pixcrawler_form" not in self.client.cookies:
            self.get("/sign-in")
        return self.client.post(path, data={"pixcrawler_form": self.token, **(fields or {})}, **options)

    def sign_in(self, credentials: str, next: str = "/") -> httpx.Response:  # noqa: A002
        return self.post("/sign-in", {"credentials": credentials, "next": next})


@pytest.fixture
def opened() -> Iterator[Callable[[str], Browser]]:
    browsers: list[Browser] = []

    def open_(url: str) -> Browser:
        browsers.append(Browser(url))
        return browsers[-1]

    yield open_
    for browser in browsers:
        browser.client.close()


@pytest.fixture
def ada_looks(api: Api, rows: Sql, opened: Callable[[str], Browser]) -> Browser:
    """Ada, signed in."""
    return signed_in(api, rows, opened(api.url), "ada@example.org")


@pytest.fixture
def job(api: Api, ada: httpx.Client, ada_looks: Browser, rows: Sql) -> int:
    """One of hers, which has ended."""
    return ended_job(ada, rows)


def signed_in(api: Api, rows: Sql, browser: Browser, email: str) -> Browser:
    assert api.issuer is not None
    user = api.user(rows, email)
    assert browser.sign_in(api.issuer.token(user, email=email)).status_code == 303
    return browser


def ended_job(client: httpx.Client, rows: Sql, name: str = "otters") -> int:
    project = client.post("projects/", json={"name": "P"}).json()["id"]
    order = {"keywords": ["otter"], "max_images": 5, "project": project, "name": name}
    number: int = client.post("crawl-jobs/", json=order).json()["id"]
    rows("UPDATE public.crawl_jobs SET status = 'completed' WHERE id = %s", [number])
    rows(
        "INSERT INTO crawler.jobs (id, state, keywords, requested, asked, kept, outcome, reason)"
        " VALUES (%s, 'completed', '[]', 5, 5, 2, 'short', %s)",
        [number, HOSTILE],
    )
    return number


def keep(rows: Sql, job: int, data_dir: Path, number: int = 1, **told: Any) -> int:
    """A kept picture in rows and storage. Returns its id."""
    key = f"jobs/{job}/images/aa/{number:064}.jpg"
    path = LocalStorage(data_dir / "storage", "").root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(told.pop("body", BODY))
    metadata = {"storage_key": key, "source": "openverse", "keyword": "otter", "license_id": "CC0-1.0", **told}
    ((image,),) = rows(
        "INSERT INTO public.images (crawl_job_id, original_url, filename, width, height, file_size, format, hash,"
        " metadata) VALUES (%s, %s, 'a.jpg', 640, 480, 100, 'jpeg', '00', %s) RETURNING id",
        [job, "https://images.example/1.jpg", Json(metadata)],
    )
    return int(image)


def reject(rows: Sql, job: int, title: str) -> None:
    ((run,),) = rows(
        "INSERT INTO crawler.runs (job, generation, source, slices, state, outcome, funnel) VALUES"
        ' (%s, 1, \'openverse\', %s, \'failed\', %s, \'{"found": 1, "kept": 0, "reasons": {"damaged": 1}}\')'
        " RETURNING id",
        [job, Json({title: {"quota": 5}}), title],
    )
    rows(
        "INSERT INTO crawler.candidates (run, url_key, job, keyword, item, decision, detail)"
        " VALUES (%s, 'k', %s, %s, %s, 'damaged', %s)",
        [run, job, title, Json({"url": "javascript:alert(3)", "source": "openverse", "title": title}), title],
    )
    rows(
        "INSERT INTO crawler.attempts (run, attempt, job, node, state, reason)"
        " VALUES (%s, 1, %s, '127.0.0.1:6800', 'failed', %s)",
        [run, job, title],
    )


def texts(document: Any) -> str:
    return " ".join(document.text_content().split())


# Signing in


def test_who_is_not_known_signs_in_and_out(api: Api, rows: Sql, opened: Callable[[str], Browser]) -> None:
    browser = opened(api.url)
    away = browser.client.get("/?status=failed")
    assert (away.status_code, away.headers["location"]) == (303, "/sign-in?next=%2F%3Fstatus%3Dfailed")
    assert browser.get("/").url.path == "/sign-in"
    wrong = browser.sign_in("not-a-token")
    assert wrong.status_code == 422
    assert "neither an access token nor an API key that is valid" in wrong.text
    assert "not-a-token" not in wrong.text

    assert api.issuer is not None
    token = api.issuer.token(api.user(rows, "ada@example.org"), email="ada@example.org")
    inside = browser.sign_in(token, next="/?status=failed")
    assert inside.headers["location"] == "/?status=failed"
    cookie = next(one for one in inside.headers.get_list("set-cookie") if one.startswith("pixcrawler_session"))
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(re.split("; ", cookie))
    assert "Secure" not in cookie  # on this machine alone
    assert browser.get("/").url.path == "/"
    assert browser.get("/sign-in").url.path == "/"

    browser.post("/sign-out")
    assert browser.get("/").url.path == "/sign-in"


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "evil"])
def test_nobody_is_led_elsewhere(ada_looks: Browser, path: str) -> None:
    assert ada_looks.client.get("/sign-in", params={"next": path}).headers["location"] == "/"


def test_elsewhere_cookies_need_encryption(shared_database_url: str, data_dir: Path, issuer: Issuer) -> None:
    elsewhere = {"supabase_url": issuer.url, "api_url": "https://pix.example"}
    with serving(shared_database_url, data_dir, **elsewhere) as server:
        answer = httpx.get(f"{server.url}/sign-in", headers={"Host": "pix.example"}, trust_env=False)
        assert "Secure" in answer.headers["set-cookie"]


def test_a_key_does_what_it_may(api: Api, ada: httpx.Client, opened: Callable[[str], Browser], job: int) -> None:
    key = ada.post("api-keys/", json={"name": "look", "permissions": ["read"]}).json()["key"]
    browser = opened(api.url)
    browser.sign_in(key)
    assert "New job" not in browser.get("/").text
    assert not browser.page(f"/jobs/{job}").cssselect("#actions")
    for path in ("/jobs/new", f"/jobs/{job}/retry"):
        answer = browser.post(path, {"keywords": "otter", "max_images": "5"})
        assert answer.status_code == 403
        assert "this needs a key with the permission write" in answer.text


# Tenants


def test_nobody_sees_what_is_anothers(
    api: Api, bob: httpx.Client, ada_looks: Browser, rows: Sql, data_dir: Path
) -> None:
    theirs = ended_job(bob, rows, "Bob's secret")
    image = keep(rows, theirs, data_dir)
    assert "Bob's secret" not in ada_looks.get("/").text
    pictures = (f"/pictures/{image}", f"/pictures/{image}/small", f"/pictures/{image}/original", "/runs/1/1")
    for path in (*PAGES, *pictures, "/datasets/1/download"):
        assert ada_looks.get(f"/jobs/{theirs}{path}").status_code == 404, path
    for path in FORMS:
        fields = {"max_images": "10", "format": "zip", "tier": "warm"}
        assert ada_looks.post(f"/jobs/{theirs}{path}", fields).status_code == 404, path


def test_a_picture_is_had_through_its_own_job_alone(
    ada_looks: Browser, rows: Sql, job: int, ada: Any, data_dir: Path
) -> None:
    image = keep(rows, ended_job(ada, rows), data_dir)
    assert ada_looks.get(f"/jobs/{job}/pictures/{image}/small").status_code == 404


# What strangers wrote


def test_hostile_texts_are_only_shown(ada_looks: Browser, rows: Sql, job: int, data_dir: Path) -> None:
    rows("UPDATE public.crawl_jobs SET name = %s WHERE id = %s", [HOSTILE, job])
    bad = {"page_url": "javascript:alert(4)", "creator_url": "data:text/html,x", "license": HOSTILE, "license_id": None}
    image = keep(
        rows, job, data_dir, title=HOSTILE, creator=HOSTILE, keyword=HOSTILE, attribution=HOSTILE, source=HOSTILE, **bad
    )
    reject(rows, job, HOSTILE)
    rows(
        "INSERT INTO crawler.exports (job, generation, version, format, tier, awaited, state, reason, options)"
        " VALUES (%s, 1, 1, 'zip', 'hot', true, 'failed', %s, jsonb_build_object('rights', %s::text))",
        [job, HOSTILE, HOSTILE],
    )
    shown = (f"/pictures/{image}", "/rejected?reason=damaged", *PAGES[:-1])
    for path in (f"/jobs/{job}{page}" for page in shown):
        document = ada_looks.page(path)
        assert [script.get("src", "")[:8] for script in document.iter("script")] == ["/static/"], path
        assert HOSTILE in document.text_content(), path
        assert not [link for link in document.iter("a") if not re.match(r"[/#?]|https?://", link.get("href"))], path
        assert not [at for node in document.iter("*") for at in node.attrib if at.startswith("on") or at == "style"]


# Forms


def test_a_form_of_somebody_elses_is_refused(api: Api, ada_looks: Browser, job: int, local: Api) -> None:
    def cancel(browser: httpx.Client, fields: dict[str, str], **headers: str) -> int:
        return browser.post(f"/jobs/{job}/cancel", data=fields, headers=headers).status_code

    browser = ada_looks.client
    right = {"pixcrawler_form": ada_looks.token}
    assert cancel(browser, {}) == 403
    assert cancel(browser, {"pixcrawler_form": "another"}) == 403
    assert cancel(browser, right, Origin="https://evil.example") == 403
    assert cancel(browser, right, **{"Sec-Fetch-Site": "same-site"}) == 403
    assert cancel(browser, right, Origin="null") == 403
    assert cancel(browser, right) == 409  # it has ended
    # The local user brings no cookie that would be missing: the token alone tells.
    with httpx.Client(base_url=local.url, trust_env=False) as stranger:
        assert stranger.post("/jobs/1/cancel", data={"pixcrawler_form": "x"}).status_code == 403
        assert stranger.post("/jobs/1/cancel", json={}).status_code == 403


def test_another_name_for_this_machine_is_refused(local: Api) -> None:
    headers = {"Accept": "text/html", "Host": "rebound.example"}
    answer = httpx.get(local.url, headers=headers, trust_env=False)
    assert answer.status_code == 421
    assert "Nobody of that name is here" in answer.text
    assert "Local user" not in answer.text


def test_a_job_is_asked_for_without_scripts(local: Api, opened: Callable[[str], Browser], rows: Sql) -> None:
    browser = opened(local.url)
    assert "Local user" in texts(browser.page("/"))
    order = {"keywords": "red panda, otter\nlynx", "max_images": "1,500", "name": " Animals ", "rights": "commercial"}
    more = {"filter_size": "large", "formats": ["zip", "csv"], "export_split": "train=.8,test=.2", "flips": "true"}
    list_ = {"list": ("Anything odd ü.csv", b"url\nhttps://images.example/1.jpg\n")}
    made = browser.post("/jobs/new", {**order, **more}, files=list_)
    assert made.status_code == 303, texts(lxml.html.document_fromstring(made.text))
    number = int(made.headers["location"].rpartition("/")[2])
    ((name, keywords, most, options),) = rows(
        "SELECT c.name, c.keywords, max_images, options FROM public.crawl_jobs c JOIN crawler.jobs USING (id)"
        " WHERE id = %s",
        [number],
    )
    assert (name, keywords, most) == ("Animals", ["red panda", "otter", "lynx"], 1500)
    assert re.fullmatch(r"lists/[0-9a-f-]{36}/[0-9a-f]{32}\.csv", options.pop("list"))
    assert options == {
        "sources": ["urls"],
        "rights": "commercial",
        "filters": {"size": "large"},
        "formats": ["zip", "csv"],
        "export": {"split": "train=0.8,test=0.2"},
        "flips": True,
    }
    page = browser.page(f"/jobs/{number}")
    assert "It waits for its turn. 1,500 images are wanted." in texts(page)
    assert browser.post(f"/jobs/{number}/cancel").headers["location"] == f"/jobs/{number}"
    assert rows("SELECT status FROM public.crawl_jobs WHERE id = %s", [number]) == [("cancelled",)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"keywords": "x"}, "keywords"),
        ({"max_images": "many"}, "max_images"),
        ({"max_images": "0"}, "max_images"),
        ({"rights": "stolen"}, "rights"),
        ({"sources": "nowhere"}, "sources"),
        ({"filter_size": "vast"}, "size"),
        ({"export_split": "train=2"}, "split"),
        ({"formats": "rar"}, "formats"),
        ({"sources": "bing"}, "sources"),
        ({"sources": "met", "filter_colour": "red"}, "colour"),
        ({}, None),
    ],
)
def test_the_form_says_what_the_api_says(local: Api, opened: Any, changes: dict[str, str], field: str | None) -> None:
    browser = opened(local.url)
    fields = {"keywords": "red panda", "max_images": "10", **changes}
    checked = browser.post("/jobs/new/check", fields).json()
    assert checked["field"] == field
    if field is None:
        return
    sent = browser.post("/jobs/new", fields)
    assert sent.status_code == 422
    assert checked["wrong"] in texts(lxml.html.document_fromstring(sent.text))
    order = {"keywords": [fields["keywords"]], "max_images": fields["max_images"]}
    if field == "keywords":
        with local.client() as client:
            told = client.post("crawl-jobs/", json=order | {"max_images": 10}).json()["detail"]
        assert told == f"keywords: {checked['wrong']}"


def test_a_list_that_is_none_is_refused(local: Api, opened: Any) -> None:
    fields = {"keywords": "red panda", "max_images": "10"}
    answer = opened(local.url).post("/jobs/new", fields, files={"list": ("a.exe", b"MZ")})
    assert answer.status_code == 422
    assert "a.exe" in answer.text


# Pages


def test_pictures_are_filtered_paged_and_made_small(ada_looks: Browser, rows: Sql, job: int, data_dir: Path) -> None:
    for number in range(65):
        keep(rows, job, data_dir, number, title=f"no. {number}", keyword="otter" if number % 13 else "lynx")
    first = ada_looks.page(f"/jobs/{job}/pictures")
    (more,) = first.cssselect("a[rel=next]")
    second = ada_looks.page(more.get("href"))
    names = [node.text for page in (first, second) for node in page.cssselect("#more .title")]
    assert names == [f"no. {number}" for number in reversed(range(65))]
    some = ada_looks.page(f"/jobs/{job}/pictures?keyword=lynx")
    assert len(some.cssselect("#more li")) == 5
    assert [option.text for option in some.cssselect("[name=keyword] option")] == ["all", "otter (60)", "lynx (5)"]

    address = some.cssselect("#more img")[0].get("src")
    small = ada_looks.get(address)
    assert small.headers["content-type"] == "image/webp"
    assert max(Image.open(BytesIO(small.content)).size) == SIDE
    rows("UPDATE public.images SET is_valid = false WHERE crawl_job_id = %s", [job])  # taken back
    assert ada_looks.get(address).status_code == 404
    assert ada_looks.get(address.replace("small", "huge")).status_code == 422


def test_what_is_no_picture_is_not_shown(ada_looks: Browser, rows: Sql, job: int, data_dir: Path) -> None:
    image = keep(rows, job, data_dir, 999, body=b"\xff\xd8\xff no picture at all")
    assert ada_looks.get(f"/jobs/{job}/pictures/{image}/small").status_code == 404
    leads = ada_looks.client.get(f"/jobs/{job}/pictures/{image}/original")
    assert leads.status_code == 302
    assert ada_looks.get(leads.headers["location"]).headers["content-disposition"].startswith("attachment")


def test_every_answer_keeps_others_out(ada_looks: Browser, job: int) -> None:
    for path in ("/", f"/jobs/{job}", "/jobs/new", "/nothing", "/?status=odd"):
        headers = ada_looks.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
    style = ada_looks.page("/").cssselect("link[rel=stylesheet]")[0].get("href")
    assert "immutable" in ada_looks.get(style).headers["cache-control"]


def test_programs_get_problems_as_before(ada: httpx.Client, api: Api) -> None:
    answer = httpx.get(f"{api.url}/nothing", trust_env=False)
    assert answer.headers["content-type"] == "application/problem+json"
    shown = ada.get("crawl-jobs/999999", headers={"Accept": "text/html"})
    assert shown.headers["content-type"] == "application/problem+json"
    assert httpx.put(f"{api.url}/jobs/1", headers={"Accept": "text/html"}, trust_env=False).status_code == 405


def test_everything_has_words() -> None:
    for states, said in (
        (JobState, words.JOBS),
        (RunState, words.RUNS),
        (AttemptState, words.ATTEMPTS),
        (ExportState, words.EXPORTS),
        (Reason, words.REASONS),
    ):
        assert set(states) <= set(said)
    assert set(Code) - set(TITLES) == {Code.UNAUTHENTICATED, Code.REUSED_KEY}
