"""What a job may not have is never fetched."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Crawl, Web, crawl, web

from pixcrawler.base_spiders import PagedSearch, Terms
from pixcrawler.crawling import Rejected
from pixcrawler.errors import UsageError
from pixcrawler.items import ImageItem
from pixcrawler.jobs import Reason
from pixcrawler.pipelines.rights import RightsPipeline
from pixcrawler.rights import Policy, allows, licence_of

CC = "https://creativecommons.org/licenses"
STATED = {  # what is stated → the policies that let it in, besides `any`
    ("cc0 1.0", ""): {"known", "commercial", "derivatives", "public-domain"},
    ("PD-old-100", ""): {"known", "commercial", "derivatives", "public-domain"},
    ("by-sa 4.0", f"{CC}/by-sa/4.0/"): {"known", "commercial", "derivatives"},
    ("by-nd 4.0", f"{CC}/by-nd/4.0/"): {"known", "commercial"},
    ("by-nc 2.0", f"{CC}/by-nc/2.0/deed.de"): {"known", "derivatives"},
    ("", f"{CC}/by-nc-nd/2.0/"): {"known"},
    ("by", f"{CC}/by-nc/4.0/"): {"known", "derivatives"},
    ("", "http://rightsstatements.org/vocab/InC-NC/1.0/"): {"known"},
    ("© All rights reserved", ""): set(),
    ("by-sa 4.0", f"{CC}/by-nd/4.0/"): set(),
    ("4", ""): set(),
    ("", ""): set(),
}


@pytest.fixture
def loopback() -> Iterator[Web]:
    with web() as server:
        yield server


def listed(folder: Path, loopback: Web) -> dict[str, tuple[str, str]]:
    """Writes a list of good pictures, each with what is stated; returns the latter by path."""
    stated = dict(zip(loopback.photos(len(STATED)), STATED, strict=True))
    with (folder / "list.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("url", "license", "license_url"))
        lines.writerows((loopback.address + path, *words) for path, words in stated.items())
    return stated


def crawled(folder: Path, *more: str) -> Crawl:
    return crawl(folder / "data", "urls", "-a", f"list={folder / 'list.csv'}", *more)


@pytest.mark.parametrize("policy", [policy.value for policy in Policy if policy is not Policy.ANY])
def test_only_what_the_policy_lets_in_is_asked_for(tmp_path: Path, loopback: Web, policy: str) -> None:
    stated = listed(tmp_path, loopback)
    ended = crawled(tmp_path, "-a", f"rights={policy}")
    assert ended.status == 0, ended.log
    let_in = {path for path, words in stated.items() if policy in STATED[words]}
    assert set(loopback.hits) == let_in
    reasons = {url.removeprefix(loopback.address): reason for url, reason in ended.reasons.items()}
    assert reasons == {path: "kept" if path in let_in else "licence" for path in stated}


def test_without_a_policy_everything_is(tmp_path: Path, loopback: Web) -> None:
    stated = listed(tmp_path, loopback)
    ended = crawled(tmp_path)
    assert set(loopback.hits) == set(stated)
    said = {line["url"].removeprefix(loopback.address): line for line in ended.manifest}
    ids = {stated[path]: line["license_id"] for path, line in said.items()}
    assert ids["by", f"{CC}/by-nc/4.0/"] == "CC-BY-NC-4.0"
    assert ids["", f"{CC}/by-nc-nd/2.0/"] == "CC-BY-NC-ND-2.0"
    assert ids["4", ""] is None
    for path, line in said.items():
        assert (line.get("license", ""), line.get("license_url", "")) == stated[path]  # as the source says it


def test_the_reason_names_the_licence(tmp_path: Path, loopback: Web) -> None:
    stated = listed(tmp_path, loopback)
    ended = crawled(tmp_path, "-a", "rights=public-domain")
    details = {stated[line["url"].removeprefix(loopback.address)]: line["detail"] for line in ended.manifest}
    assert details["by-nd 4.0", f"{CC}/by-nd/4.0/"] == "CC-BY-ND-4.0"
    assert details["4", ""] == "unknown: 4"
    assert details["", ""] == "unknown: nothing said"


def test_an_unknown_policy_is_one_line(tmp_path: Path) -> None:
    ended = crawl(tmp_path, "openverse", "-a", "keywords=otter", "-a", "rights=free")
    assert ended.status == 2
    last = ended.log.splitlines()[-1]
    assert "rights: expected any, known, commercial, derivatives, public-domain, got 'free'" in last
    assert "Traceback" not in ended.log


# The pipeline by itself


class Search(PagedSearch):
    name = "search"
    page_size = 20
    cap = 240
    terms = Terms(url="", datasets="", attribution="")


def pipeline(options: dict[str, Any], **arguments: str) -> RightsPipeline:
    spider = Search(keywords="otter", **arguments)
    spider.ledger = SimpleNamespace(run=SimpleNamespace(options=options))  # type: ignore[assignment]
    return RightsPipeline(SimpleNamespace(spider=spider))  # type: ignore[arg-type]


def item(said: str | None, url: str | None, source: str = "search") -> ImageItem:
    return ImageItem("https://example.org/a.jpg", source, "otter", license=said, license_url=url)


def test_the_jobs_policy_counts_in_a_run_of_a_job() -> None:
    of_a_job = pipeline({"rights": "commercial"})
    assert of_a_job.process_item(picture := item("CC BY 4.0", None)) is picture
    with pytest.raises(Rejected) as refused:
        of_a_job.process_item(item("CC BY-NC 4.0", None))
    assert (refused.value.reason, refused.value.detail) == (Reason.LICENCE, "CC-BY-NC-4.0")
    assert pipeline({}).process_item(picture := item(None, None)) is picture


def test_a_policy_nobody_knows_lets_nothing_pass() -> None:
    with pytest.raises(UsageError, match=r"^rights: "):
        pipeline({"rights": "free"}).process_item(item("CC0", None))


@given(
    st.sampled_from(Policy),
    st.sampled_from([said for said, _ in STATED]) | st.text(max_size=30),
    st.sampled_from([url for _, url in STATED]) | st.text(max_size=30),
    st.sampled_from(["openverse", "flickr", "urls"]),
)
def test_no_item_outside_the_policy_passes(policy: Policy, said: str, url: str, source: str) -> None:
    picture = item(said, url, source)
    if allows(policy, licence_of(said, url, source)):
        assert pipeline({}, rights=policy).process_item(picture) is picture
    else:
        with pytest.raises(Rejected, check=lambda refused: refused.reason is Reason.LICENCE):
            pipeline({}, rights=policy).process_item(picture)
