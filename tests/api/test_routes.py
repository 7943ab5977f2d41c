"""What users do over HTTP, from a list of addresses to the bytes of a dataset."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_servers import Api

from pixcrawler.metrics import PROCESS

Sql = Callable[..., list[tuple[Any, ...]]]

BODY = b"PK of a dataset" * 1000


def project(client: httpx.Client, name: str = "Mine") -> int:
    number: int = client.post("projects/", json={"name": name}).raise_for_status().json()["id"]
    return number


def new_job(client: httpx.Client, **more: Any) -> int:
    wanted = {"keywords": ["red panda", "otter"], "max_images": 20, "project": project(client), **more}
    number: int = client.post("crawl-jobs/", json=wanted).raise_for_status().json()["id"]
    return number


@pytest.fixture
def ended(ada: httpx.Client, rows: Sql, data_dir: Path) -> int:
    """A job of Ada's that has kept three pictures and packed them."""
    job = new_job(ada, sources=["openverse"])
    rows("UPDATE public.crawl_jobs SET status = 'completed', progress = 100, valid_images = 3 WHERE id = %s", [job])
    rows("DELETE FROM crawler.jobs WHERE id = %s", [job])
    rows(
        "INSERT INTO crawler.jobs (id, owner, project_id, state, keywords, requested, asked, kept, outcome)"
        " SELECT id, (SELECT user_id FROM public.projects p WHERE p.id = project_id), project_id, 'completed',"
        " keywords, 20, 20, 3, 'short' FROM public.crawl_jobs WHERE id = %s",
        [job],
    )
    for number, source in enumerate(("openverse", "commons", "openverse")):
        about = {"source": source, "keyword": "otter", "license_id": "CC-BY-4.0", "creator": "Zoë"}
        rows(
            "INSERT INTO public.images (crawl_job_id, original_url, filename, format, hash, metadata)"
            " VALUES (%s, %s, %s, 'jpeg', %s, %s)",
            [job, f"https://pictures.example/{number}.jpg", f"{number}.jpg", f"{number:064x}", json.dumps(about)],
        )
    key = f"jobs/{job}/exports/1.1/dataset.zip"
    (data_dir / "storage" / key).parent.mkdir(parents=True)
    (data_dir / "storage" / key).write_bytes(BODY)
    rows(
        "INSERT INTO crawler.exports (job, generation, version, format, tier, awaited, state, key, size, sha256)"
        " VALUES (%s, 1, 1, 'zip', 'hot', true, 'done', %s, %s, %s)",
        [job, key, len(BODY), hashlib.sha256(BODY).hexdigest()],
    )
    return job


def test_a_job_is_a_row_with_options(ada: httpx.Client, rows: Sql) -> None:
    options = {
        "sources": ["commons"],
        "filters": {"size": "large"},
        "rights": "commercial",
        "quality": "strict",
        "duplicates": "strict",
        "scope": "owner",
        "flips": True,
        "formats": ["webdataset", "csv"],
    }
    export = {"max_side": 512, "encode": "webp", "split": {"train": 0.8, "val": 0.2}, "strip_metadata": False}
    job = new_job(ada, **options, export=export)
    assert rows("SELECT keywords, max_images, status FROM public.crawl_jobs WHERE id = %s", [job]) == [
        (["red panda", "otter"], 20, "pending")
    ]
    options["export"] = {"max_side": 512, "encode": "webp", "split": "train=0.8,val=0.2"}
    assert rows("SELECT options FROM crawler.jobs WHERE id = %s", [job]) == [(options,)]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown source": ({"sources": ["flickrr"]}, "flickrr"),
    "a list that is not there": ({"list": f"{'0' * 32}.csv"}, "no list"),
    "a source without its list": ({"sources": ["urls"]}, "needs a list"),
    "an unknown policy": ({"rights": "free"}, "rights: expected any"),
    "an unknown preset": ({"duplicates": "harsh"}, "no preset 'harsh'"),
    "an unknown size": ({"export": {"resize": "large"}}, "resize: expected"),
    "a keyword twice": ({"keywords": ["otter", "Otter"]}, "twice"),
    "an unknown option": ({"colour": "red"}, "colour"),
    "somebody else's project": ({"project": 1}, "no project 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_crawled_is_refused_at_once(ada: httpx.Client, rows: Sql, case: str) -> None:
    wrong, named = WRONG[case]
    wanted = {"keywords": ["otter"], "max_images": 5, "project": project(ada), **wrong}
    before = rows("SELECT count(*) FROM public.crawl_jobs")
    answer = ada.post("crawl-jobs/", json=wanted)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["code"] == "invalid"
    assert named in answer.json()["detail"]
    assert rows("SELECT count(*) FROM public.crawl_jobs") == before


def test_the_same_request_again_makes_no_second_job(ada: httpx.Client, rows: Sql) -> None:
    wanted = {"keywords": ["otter"], "max_images": 5, "project": project(ada)}
    headers = {"Idempotency-Key": "0f8c6a"}
    first, second = (ada.post("crawl-jobs/", json=wanted, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, first.json())
    other = ada.post("crawl-jobs/", json=wanted | {"max_images": 6}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "reused_idempotency_key")
    assert rows("SELECT count(*) FROM public.crawl_jobs WHERE project_id = %s", [wanted["project"]]) == [(1,)]


def test_a_list_is_uploaded_and_crawled_by_nobody_else(
    ada: httpx.Client, bob: httpx.Client, rows: Sql, data_dir: Path
) -> None:
    body = b"url\nhttps://pictures.example/1.jpg\n"
    stored = ada.post("crawl-jobs/lists", params={"filename": "Mine.CSV"}, content=body)
    assert stored.status_code == 201
    name = stored.json()["list"]
    job = new_job(ada, list=name)
    ((options,),) = rows("SELECT options FROM crawler.jobs WHERE id = %s", [job])
    assert options["sources"] == ["urls"]
    assert (data_dir / "storage" / options["list"]).read_bytes() == body
    theirs = {"keywords": ["otter"], "max_images": 5, "project": project(bob), "list": name}
    assert bob.post("crawl-jobs/", json=theirs).status_code == 422


@pytest.mark.parametrize(
    ("name", "body"), [("a.csv", b"<!doctype html>"), ("a.exe", b"https://x.example/1.jpg"), ("a.txt", b"")]
)
def test_what_is_no_list_is_refused(ada: httpx.Client, name: str, body: bytes) -> None:
    answer = ada.post("crawl-jobs/lists", params={"filename": name}, content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert name in answer.json()["detail"]


def test_pages_hold_every_job_once_although_more_come(ada: httpx.Client) -> None:
    there = project(ada)
    wanted = {"keywords": ["otter"], "max_images": 5, "project": there}
    made = [ada.post("crawl-jobs/", json=wanted).json()["id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        about = {"limit": 2, "project": there, **({"cursor": cursor} if cursor else {})}
        page = ada.get("crawl-jobs/", params=about).raise_for_status().json()
        seen += [job["id"] for job in page["items"]]
        ada.post("crawl-jobs/", json=wanted)
        if not (cursor := page["next_cursor"]):
            break
    assert seen == made[::-1]


def test_a_job_is_cancelled_and_cannot_be_when_it_is_over(ada: httpx.Client, ended: int) -> None:
    job = new_job(ada)
    assert ada.post(f"crawl-jobs/{job}/cancel").json()["status"] == "cancelled"
    assert [j["id"] for j in ada.get("crawl-jobs/", params={"status": "cancelled"}).json()["items"]] == [job]
    refused = ada.post(f"crawl-jobs/{ended}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def test_an_ended_job_is_taken_up_again(ada: httpx.Client, ended: int) -> None:
    extended = ada.post(f"crawl-jobs/{ended}/extend", json={"max_images": 40})
    assert (extended.status_code, extended.json()["state"], extended.json()["asked"]) == (200, "crawling", 40)
    again = ada.post(f"crawl-jobs/{ended}/retry")
    assert (again.status_code, again.json()["detail"]) == (409, f"job {ended} cannot be retried: it is crawling")


def test_a_job_is_shown_with_what_became_of_every_image(ada: httpx.Client, ended: int, rows: Sql) -> None:
    ((run,),) = rows(
        "INSERT INTO crawler.runs (job, generation, source, slices, state, funnel) VALUES (%s, 1, 'openverse', %s,"
        " 'short', %s) RETURNING id",
        [ended, '{"otter": {"quota": 20}}', '{"found": 5, "kept": 3, "reasons": {"blurred": 2}}'],
    )
    seen = ada.get(f"crawl-jobs/{ended}").json()
    assert seen["funnel"] == {"found": 5, "kept": 3, "reasons": {"blurred": 2}}
    assert [r["id"] for r in seen["runs"]] == [run]
    told = ada.get(f"crawl-jobs/{ended}/progress").json()
    assert told["sources"] == [{"source": "openverse", "runs": 1, "asked": 20, "found": 5, "kept": 3}]


def test_kept_pictures_tell_whose_they_are(ada: httpx.Client, ended: int) -> None:
    found = ada.get(f"crawl-jobs/{ended}/images", params={"source": "openverse"}).json()["items"]
    assert [(picture["filename"], picture["creator"]) for picture in found] == [("2.jpg", "Zoë"), ("0.jpg", "Zoë")]
    assert ada.get(f"crawl-jobs/{ended}/images", params={"license_id": "CC0-1.0"}).json()["items"] == []


def test_logs_are_those_in_storage(ada: httpx.Client, ended: int, data_dir: Path) -> None:
    assert ada.get(f"crawl-jobs/{ended}/logs").json() == []
    folder = data_dir / "storage" / f"jobs/{ended}/logs"
    folder.mkdir()
    (folder / "7-1.log.gz").write_bytes(gzip.compress(b"searched for otters"))
    assert ada.get(f"crawl-jobs/{ended}/logs").json() == [{"run": 7, "attempt": 1}]
    assert ada.get(f"crawl-jobs/{ended}/logs/7/1").text == "searched for otters"
    for name in ("7/2", "7/..%2F..%2Fsecret", "8/1"):
        assert ada.get(f"crawl-jobs/{ended}/logs/{name}").status_code in (404, 422)


def test_a_dataset_is_downloaded_by_a_link_whole_or_in_part(
    api: Api, web: httpx.Client, ada: httpx.Client, ended: int, rows: Sql
) -> None:
    (export,) = ada.get(f"crawl-jobs/{ended}/exports").json()
    asked = ada.post(f"crawl-jobs/{ended}/exports", json={"format": "zip"})
    assert (asked.status_code, asked.json()["id"]) == (202, export["id"])
    moved = ada.get(f"crawl-jobs/{ended}/exports/{export['id']}/download")
    assert moved.status_code == 302
    link = httpx.URL(api.url).join(moved.headers["location"])
    whole = web.get(link)
    assert hashlib.sha256(whole.content).hexdigest() == export["sha256"]
    assert whole.headers["content-disposition"] == f'attachment; filename="job-{ended}.zip"'
    part = web.get(link, headers={"Range": "bytes=10-19", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, BODY[10:20])
    changed = web.get(link, headers={"Range": "bytes=10-19", "If-Range": '"another"'})
    assert (changed.status_code, len(changed.content)) == (200, len(BODY))
    assert web.get(link, headers={"Range": f"bytes={len(BODY)}-"}).status_code == 416
    assert web.head(link).headers["content-length"] == str(len(BODY))
    logged = "SELECT action FROM public.activity_logs WHERE resource_type = 'crawl_job' AND resource_id = %s"
    assert rows(logged, [str(ended)]) == [("DOWNLOAD_IMAGES",)]


def test_datasets_are_asked_for_and_moved(ada: httpx.Client, ended: int) -> None:
    wanted = {"format": "webdataset", "options": {"max_side": 64, "sources": ["commons"]}}
    asked = ada.post(f"crawl-jobs/{ended}/exports", json=wanted)
    export = asked.json()
    assert (asked.status_code, export["state"], export["options"]) == (202, "pending", wanted["options"])
    assert ada.post(f"crawl-jobs/{ended}/exports", json=wanted).json()["id"] == export["id"]
    early = ada.get(f"crawl-jobs/{ended}/exports/{export['id']}/download")
    assert (early.status_code, early.json()["detail"]) == (409, "the dataset is pending")
    impossible = ada.post(f"crawl-jobs/{ended}/exports", json={"options": {"resize": "64x64", "max_side": 64}})
    assert (impossible.status_code, "max_side" in impossible.json()["detail"]) == (422, True)
    moved = ada.post(f"crawl-jobs/{ended}/tier", json={"tier": "warm"}).json()
    assert (moved["format"], moved["tier"], moved["state"]) == ("7z", "warm", "pending")
    assert ada.post(f"crawl-jobs/{ended}/tier", json={"tier": "hot"}).json()["state"] == "done"
    early = ada.post(f"crawl-jobs/{new_job(ada)}/exports", json={})
    assert (early.status_code, "has not begun" in early.json()["detail"]) == (409, True)


def test_each_file_of_a_dataset_has_a_link_from_whichever_tier(
    api: Api, web: httpx.Client, ada: httpx.Client, ended: int, rows: Sql, data_dir: Path
) -> None:
    folder = data_dir / "storage-warm" / f"jobs/{ended}/exports/2.1"
    folder.mkdir(parents=True)
    names = ("shard-000000.tar", "shard-000001.tar")
    for name in names:
        (folder / name).write_text(name)
    files = json.dumps([{"name": name, "size": len(name), "sha256": ""} for name in names])
    ((export,),) = rows(
        "INSERT INTO crawler.exports (job, generation, version, format, tier, awaited, state, key, size, sha256, files)"
        " VALUES (%s, 1, 2, 'webdataset', 'warm', false, 'done', %s, 32, '', %s) RETURNING id",
        [ended, f"jobs/{ended}/exports/2.1", files],
    )
    place = f"crawl-jobs/{ended}/exports/{export}/download"
    assert ada.get(place).status_code == 422
    assert ada.get(place, params={"file": "../../secret"}).status_code == 404
    moved = ada.get(place, params={"file": names[1]})
    told = web.get(httpx.URL(api.url).join(moved.headers["location"]))
    assert (told.text, names[1] in told.headers["content-disposition"]) == (names[1], True)


@pytest.mark.parametrize("change", [{"signature": "0" * 64}, {"expires": "1"}, {"name": "evil.html"}])
def test_a_link_that_was_changed_opens_nothing(
    api: Api, web: httpx.Client, ada: httpx.Client, ended: int, change: dict[str, str]
) -> None:
    (export,) = ada.get(f"crawl-jobs/{ended}/exports").json()
    moved = ada.get(f"crawl-jobs/{ended}/exports/{export['id']}/download").headers["location"]
    refused = web.get(httpx.URL(api.url).join(moved).copy_merge_params(change))
    assert (refused.status_code, refused.json()["code"]) == (403, "link_refused")


def test_a_project_with_work_in_it_stays(ada: httpx.Client) -> None:
    there = project(ada, "Otters")
    changed = ada.patch(f"projects/{there}", json={"name": "Pandas", "status": "archived"}).json()
    assert (changed["name"], changed["status"]) == ("Pandas", "archived")
    job = ada.post("crawl-jobs/", json={"keywords": ["otter"], "max_images": 5, "project": there}).json()["id"]
    assert ada.delete(f"projects/{there}").status_code == 409
    ada.post(f"crawl-jobs/{job}/cancel")
    assert ada.delete(f"projects/{there}").status_code == 204
    assert ada.get(f"projects/{there}").status_code == 404
    assert ada.get(f"crawl-jobs/{job}").status_code == 404


def test_notifications_are_read_one_by_one_or_all(api: Api, ada: httpx.Client, rows: Sql) -> None:
    user = api.users["ada@example.org"]
    for title in ("One", "Two", "Three"):
        rows(
            "INSERT INTO public.notifications (user_id, type, title, message) VALUES (%s, 'info', %s, 'told')",
            [user, title],
        )
    first, *_ = ada.get("notifications/").json()["items"]
    assert first["title"] == "Three"
    assert ada.patch(f"notifications/{first['id']}", json={"is_read": True}).json()["read_at"]
    assert [n["title"] for n in ada.get("notifications/", params={"unread": True}).json()["items"]] == ["Two", "One"]
    assert ada.post("notifications/mark-all-read").json() == {"marked": 2}


def test_credits_and_usage_are_the_callers(api: Api, ada: httpx.Client, rows: Sql) -> None:
    user = api.users["ada@example.org"]
    assert ada.get("credits/balance").json()["current_balance"] > 0
    for number in range(3):
        rows(
            "INSERT INTO public.credit_transactions (account_id, user_id, type, description, amount, balance_after)"
            " SELECT id, user_id, 'bonus', %s, 0, current_balance FROM public.credit_accounts WHERE user_id = %s",
            [f"gift {number}", user],
        )
    pages = ada.get("credits/transactions", params={"limit": 2}).json()
    rest = ada.get("credits/transactions", params={"cursor": pages["next_cursor"]}).json()
    assert [t["description"] for t in [*pages["items"], *rest["items"]]][:3] == ["gift 2", "gift 1", "gift 0"]
    assert ada.get("usage/").json()[0]["api_calls"] >= 1


def test_sources_tell_what_they_need(ada: httpx.Client) -> None:
    known = {source["name"]: source for source in ada.get("sources/").json()}
    assert known["flickr"]["key"]["present"] is False
    assert known["urls"]["needs_list"] is True


def test_health_is_told_in_detail_to_those_who_are_known(api: Api, web: httpx.Client, ada: httpx.Client) -> None:
    assert web.get(f"{api.url}/api/v1/health/").json() == {"status": "ok"}
    assert web.get(f"{api.url}/api/v1/health/detailed").status_code == 401
    seen = ada.get("health/detailed").json()
    assert (seen["status"], seen["database"]["ok"], seen["storage"]["ok"]) == ("degraded", True, True)
    assert [node["ok"] for node in seen["nodes"].values()] == [False]


def test_a_profile_is_made_from_a_token(api: Api, rows: Sql) -> None:
    assert api.issuer is not None
    user = api.user(rows, "new@example.org")
    rows("DELETE FROM public.profiles WHERE id = %s", [user])
    told = {"full_name": "New", "role": "admin"}
    with api.client(api.issuer.token(user, email="new@example.org", user_metadata=told)) as new:
        assert new.get("auth/me").json()["profile"] is None
        assert new.post("projects/", json={"name": "Mine"}).status_code == 409
        made = new.post("auth/sync-profile").json()["profile"]
        assert (made["email"], made["full_name"], made["role"]) == ("new@example.org", "New", "user")
        assert new.post("auth/verify-token").json()["profile"] == made


def test_the_documents_page_asks_no_other_machine(api: Api, web: httpx.Client) -> None:
    page = web.get(f"{api.url}/docs")
    assert "://" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert web.get(f"{api.url}/docs/assets/swagger-ui-bundle.js").status_code == 200


def test_requests_are_timed_by_route_and_status(ada: httpx.Client) -> None:
    def timed(route: str, status: str) -> float:
        about = {"route": route, "status": status}
        return PROCESS.get_sample_value("pixcrawler_api_seconds_count", about) or 0

    asked = [("/api/v1/projects/{project}", "404"), ("none", "404")]
    before = [timed(*one) for one in asked]
    ada.get("projects/4711")
    ada.get("nothing/of/the/kind")
    assert [timed(*one) for one in asked] == [number + 1 for number in before]
