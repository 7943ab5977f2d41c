"""What was taken back, and who was deleted: nothing leads there any more, whatever was handed out before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
from api_servers import Api, serving
from packing import export, packed, take_back, url_of
from worlds import World, node, settings, world

from pixcrawler.api import gate
from pixcrawler.jobs import ExportState
from pixcrawler.takedowns import Kind, Subject

Sql = Callable[..., list[tuple[Any, ...]]]

__all__ = ["node", "settings", "world"]


def test_links_lists_and_datasets_forget_what_is_taken_back(world: World, web: httpx.Client) -> None:
    job = packed(world)
    with serving(url_of(world), world.settings.data_dir) as api, api.client() as me:

        def status(path: str) -> int:
            return web.get(f"{api.url}{path}").status_code

        kept = me.get(f"crawl-jobs/{job}/images").json()["items"]
        [its] = [image for image in kept if image["url"].endswith("/0.jpg")]
        [dataset] = me.get(f"crawl-jobs/{job}/exports").json()
        place = f"crawl-jobs/{job}/exports/{dataset['id']}/download"
        page = f"/jobs/{job}/pictures/{its['id']}"
        links = [me.get(place).headers["location"], web.get(f"{api.url}{page}/original").headers["location"]]
        assert [status(path) for path in (*links, page, f"{page}/small")] == [200] * 4

        take_back(world, Subject.parse(Kind.URL, its["url"]))
        assert [status(path) for path in (*links, page, f"{page}/small")] == [404] * 4
        assert its["sha256"] not in me.get(f"crawl-jobs/{job}/images").text
        assert me.get(f"crawl-jobs/{job}/images").json()["items"] == [image for image in kept if image != its]
        gone = me.get(place)
        assert (gone.status_code, gone.json()["detail"]) == (409, "the dataset is removed")

        asked = me.post(f"crawl-jobs/{job}/exports", json={"format": "zip"}).json()
        states = {each["id"]: each["state"] for each in me.get(f"crawl-jobs/{job}/exports").json()}
        assert states == {dataset["id"]: ExportState.REMOVED, asked["id"]: ExportState.PENDING}
        export(world)
        anew = me.get(f"crawl-jobs/{job}/exports/{asked['id']}/download").headers["location"]
        assert status(anew) == 200
        assert status(links[0]) == 404

        assert me.post(f"crawl-jobs/{job}/retry").json()["state"] == "crawling"
        assert status(anew) == 200
        assert len(me.get(f"crawl-jobs/{job}/images").json()["items"]) == len(kept) - 1


def test_who_was_deleted_comes_in_no_more(api: Api, rows: Sql, monkeypatch: Any) -> None:
    monkeypatch.setattr(gate, "BOOKED_SECONDS", -1)
    monkeypatch.setattr(gate, "FORGET_SECONDS", -1)
    with api.logged_in(rows, "carl@example.org") as carl:
        carl.post("projects/", json={"name": "His"}).raise_for_status()
        job = {"keywords": ["otter"], "max_images": 5}
        carl.post("crawl-jobs/", json=job, headers={"Idempotency-Key": "once"}).raise_for_status()
        rows("UPDATE crawler.idempotency_keys SET created_at = now() - interval '25 hours'")
        key = carl.post("api-keys/", json={"name": "his", "permissions": ["admin"]}).json()["key"]
        with api.client(key) as program:
            assert program.get("auth/me").status_code == 200
            rows("DELETE FROM auth.users WHERE id = %s", [api.users["carl@example.org"]])
            assert program.get("auth/me").status_code == 401
        # Supabase's tokens are good until they end, whoever they are of; nothing is left behind them.
        assert carl.get("auth/me").json()["profile"] is None
        assert carl.get("projects/").json()["items"] == []
        assert carl.post("projects/", json={"name": "Again"}).status_code == 409
        assert carl.post("crawl-jobs/", json=job).status_code == 422
        assert carl.post("auth/sync-profile").status_code == 409
    assert rows("SELECT * FROM crawler.idempotency_keys") == []


def test_two_who_want_the_same_at_once_are_told_so(api: Api, rows: Sql, monkeypatch: Any) -> None:
    async def nobody(*_: object) -> bool:
        return False

    monkeypatch.setattr("pixcrawler.db.profiles.has_address", nobody)  # as it was a moment ago
    user = uuid4()
    rows("INSERT INTO auth.users (id, email) VALUES (%s, 'second@example.org')", [user])
    with api.logged_in(rows, "first@example.org") as first:
        first.post("auth/sync-profile").raise_for_status()
    assert api.issuer is not None
    with api.client(api.issuer.token(user, email="first@example.org")) as second:
        answer = second.post("auth/sync-profile")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
