"""What owners reserve, as files and headers say it; and that none of these can trip us up."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.jobs import Reason
from pixcrawler.opt_outs import LIMIT, Denial, Kind
from pixcrawler.opt_outs.ai_txt import AiTxt
from pixcrawler.opt_outs.headers import no_image, tdm_reservation, x_robots_tag
from pixcrawler.opt_outs.robots_txt import RobotsTxt
from pixcrawler.opt_outs.tdmrep import Tdmrep

AGENT = "PixCrawler"
HOST = "https://images.example"


def robots(text: str | bytes, path: str) -> bool:
    """Whether robots.txt lets a picture be fetched."""
    body = text.encode() if isinstance(text, str) else text
    denial = RobotsTxt(body, AGENT).denial(HOST + path, Kind.IMAGE)
    assert denial is None or denial.reason is Reason.ROBOTS
    return denial is None


def ai(text: str, path: str, kind: Kind = Kind.IMAGE) -> bool:
    denial = AiTxt(text.encode(), AGENT).denial(HOST + path, kind)
    assert denial is None or denial.reason is Reason.AI_TXT
    return denial is None


def tdmrep(rules: object, path: str) -> Denial | None:
    body = rules if isinstance(rules, bytes) else json.dumps(rules).encode()
    return Tdmrep(body).denial(HOST + path, Kind.IMAGE)


def reserving(*locations: str) -> list[dict[str, object]]:
    return [{"location": location, "tdm-reservation": 1} for location in locations]


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/a.jpg", True),
        ("User-agent: *\nDisallow:", "/a.jpg", True),
        ("User-agent: *\nDisallow: /", "/a.jpg", False),
        ("\ufeffUser-agent: *\r\nDisallow: /\r\n", "/a.jpg", False),
        ("User-agent: GPTBot\nDisallow: /", "/a.jpg", True),
        ("User-agent: pixcrawler\nDisallow: /", "/a.jpg", False),
        ("User-agent: GPTBot\nUser-agent: PixCrawler\nDisallow: /", "/a.jpg", False),
        ("User-agent: PixCrawler\nAllow: /\n\nUser-agent: *\nDisallow: /", "/a.jpg", True),
        ("User-agent: PixCrawler\nDisallow: /a\n\nUser-agent: x\n\nUser-agent: PixCrawler\nDisallow: /b", "/b", False),
        ("User-agent: *\nDisallow: /p\nAllow: /public/", "/public/a.jpg", True),
        ("User-agent: *\nAllow: /\nDisallow: /private/", "/private/a.jpg", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a.jpg", True),
        ("User-agent: *\nDisallow: /*.jpg$", "/x/a.jpg", False),
        ("User-agent: *\nDisallow: /*.jpg$", "/x/a.jpg?w=1", True),
        ("User-agent: *\nDisallow: /caf%C3%A9/", "/caf%c3%a9/a.jpg", False),
        ("User-agent: *\nDisallow: /café/", "/caf%C3%A9/a.jpg", False),
        ("<!doctype html><h1>Not found</h1>", "/a.jpg", True),
        ("Disallow: /", "/a.jpg", True),
    ],
)
def test_robots_txt(text: str, path: str, allowed: bool) -> None:
    assert robots(text, path) is allowed


def test_robots_txt_is_read_to_its_limit() -> None:
    filling = b"#" + b"x" * 98 + b"\n"
    rules = b"User-agent: *\nDisallow: /early/\n"
    body = rules + filling * (LIMIT // len(filling)) + b"Disallow: /late/\n"
    assert not robots(body, "/early/a.jpg")
    assert robots(body, "/late/a.jpg")


def test_a_rule_that_was_cut_is_none() -> None:
    beginning = b"User-agent: *\nDisallow: /"
    body = beginning + b"private/" + b"x" * LIMIT
    assert robots(body, "/a.jpg")


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("User-Agent: *\nDisallow: /\nDisallow: *", "/a.jpg", False),
        ("User-Agent: *\nDisallow: *.jpg", "/a.jpg", False),
        ("User-Agent: *\nDisallow: *.jpg", "/A.JPG?w=200", False),
        ("User-Agent: *\nDisallow: *.JPG  # pictures", "/a.jpg", False),
        ("User-Agent: *\r\nDisallow: /*.jpg$\r\n", "/a.jpg?x", False),
        ("User-Agent: *\nDisallow: *.jpg", "/a.png", True),
        ("User-Agent: *\nDisallow: *.png", "/image?id=7", False),
        ("User-Agent: *\nDisallow: *.png", "/show.php", False),
        ("User-Agent: *\nDisallow: *.mp3\nDisallow: *.c", "/cdn.cats/a.jpg", True),
        ("User-Agent: *\nDisallow: *.mp3", "/image", True),
        ("User-Agent: *\nAllow: *.jpg\nDisallow: /", "/a.jpg", True),
        ("User-Agent: *\nAllow: *.jpg\nDisallow: /", "/a.png", False),
        ("User-Agent: *\nAllow: *.jpg\nDisallow: /", "/image", False),
        ("User-Agent: *\nDisallow: /private/", "/private/a.jpg", False),
        ("User-Agent: *\nDisallow: /private/", "/public/a.jpg", True),
        ("User-Agent: GPTBot\nDisallow: /", "/a.jpg", True),
        ("<!doctype html><title>ai.txt</title>", "/a.jpg", True),
        ("# About us\n\nWe make soap.", "/a.jpg", True),
    ],
)
def test_ai_txt(text: str, path: str, allowed: bool) -> None:
    assert ai(text, path) is allowed


def test_what_ai_txt_says_of_pictures_concerns_no_page() -> None:
    text = "User-Agent: *\nDisallow: *.jpg"
    assert ai(text, "/about", Kind.PAGE)
    assert not ai("User-Agent: *\nDisallow: /", "/about", Kind.PAGE)


@pytest.mark.parametrize(
    ("locations", "path", "reserved"),
    [
        (["/"], "/a.jpg", True),
        (["/"], "", True),
        (["/photos/"], "/photos/a.jpg", True),
        (["/photos/"], "/photo/a.jpg", False),
        (["/Photos/"], "/photos/a.jpg", False),
        (["/*.jpg"], "/x/a.jpg", True),
        (["*.jpg"], "/x/a.jpg?w=1", True),
        (["/*.jpg$"], "/x/a.jpg?w=1", False),
        (["/*.jpg$"], "/a.jpg/b.jpg", True),
        (["/a$"], "/a", True),
        (["/a$"], "/ab", False),
        (["/a*a$"], "/a", False),
        (["/x/*/then"], "/x/y/z/then/a.jpg", True),
        (["/x/*/then"], "/x/then", False),
        (["/path/foo-%24"], "/path/foo-$", True),
        (["/caf\u00e9"], "/caf%c3%a9", True),
        (["/a%7Eb"], "/a~b", True),
        (["/a%2Fb"], "/a/b", False),
        (["photos/"], "/photos/a.jpg", True),
        (["https://images.example/photos/"], "/photos/a.jpg", True),
        ([], "/a.jpg", False),
    ],
)
def test_tdmrep_locations(locations: list[str], path: str, reserved: bool) -> None:
    denial = tdmrep(reserving(*locations), path)
    assert (denial is not None) is reserved
    assert denial is None or denial.reason is Reason.TDMREP


def test_the_first_location_that_matches_counts() -> None:
    rules = [
        {"location": "/open/*.jpg", "tdm-reservation": 0},
        {"location": "/", "tdm-reservation": 1, "tdm-policy": "https://images.example/policy.json"},
        {"location": "/late/", "tdm-reservation": 0},
    ]
    assert tdmrep(rules, "/open/a.jpg") is None
    denial = tdmrep(rules, "/late/a.jpg")
    assert denial is not None
    assert denial.rule == "tdmrep.json reserves '/', policy 'https://images.example/policy.json'"


@pytest.mark.parametrize(
    ("file", "reserved"),
    [
        (reserving("/")[0], True),  # the brackets forgotten
        ([{"location": "/", "tdm-reservation": "1"}], True),
        ([{"location": "/", "tdm-reservation": 2}, *reserving("/")], True),
        ([{"location": "/", "tdm-reservation": 2}], False),
        ([{"location": "/"}], False),
        ([{"tdm-reservation": 1}], False),
        ([None, 7, "x", [], {}], False),
        ("text", False),
        (b"", False),
        (b"<!doctype html>", False),
        (b"[" * 100_000, False),
        (b"\xef\xbb\xbf" + json.dumps(reserving("/")).encode(), True),
        (json.dumps(reserving("/")).encode() + b" " * LIMIT, True),  # too long to read: reserved
    ],
)
def test_what_is_no_rule_of_tdmrep_reserves_nothing(file: object, reserved: bool) -> None:
    assert (tdmrep(file, "/a.jpg") is not None) is reserved


def test_a_hostile_location_takes_no_time() -> None:
    began = time.process_time()
    assert tdmrep(reserving("/" + "*a" * 1_000 + "*b$"), "/" + "a" * 5_000) is None
    assert time.process_time() - began < 1  # a regular expression would take years


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ([], None),
        ([""], None),
        (["all"], None),
        (["nofollow, nosnippet"], None),
        (["noai"], "noai"),
        (["NOAI"], "noai"),
        (["noimageai"], "noimageai"),
        (["noml"], "noml"),
        (["noindex"], "noindex"),
        (["noimageindex"], "noimageindex"),
        (["none"], "none"),
        (["nofollow ,  noai"], "noai"),
        (["nofollow", "noai"], "noai"),
        (["googlebot: noindex"], None),
        (["googlebot: nofollow, noindex"], None),
        (["googlebot: noindex, pixcrawler: noai"], "pixcrawler: noai"),
        (["pixcrawler: nofollow, noai"], "pixcrawler: noai"),
        (["PixCrawler/1.0 : noai"], "pixcrawler/1.0: noai"),
        (["googlebot: noindex", "noai"], "noai"),
        (["*: noindex"], "*: noindex"),
        (["robots: noindex"], "robots: noindex"),
        (["pixcrawler2: noindex"], None),
        (["noai, googlebot: nofollow"], "noai"),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], None),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], "noai"),
        (["unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noindex"], "noindex"),
        (["googlebot: unavailable_after: 25 Jun 2010 15:00:00 PST, noindex"], None),
        (["max-image-preview:none"], None),
        (["max-image-preview: large, noai"], "noai"),
        (["max-snippet:-1, max-image-preview:large, max-video-preview:-1"], None),
        (["pixcrawler: max-image-preview: none, none"], "pixcrawler: none"),
        (["noaixyz"], None),
        ([":noai,:,::"], None),
    ],
)
def test_x_robots_tag(values: list[str], rule: str | None) -> None:
    expected = Denial(Reason.X_ROBOTS_TAG, f"X-Robots-Tag: {rule}") if rule else None
    assert x_robots_tag(values, AGENT, Kind.IMAGE) == expected


def test_what_a_tag_says_of_pictures_concerns_no_page() -> None:
    assert x_robots_tag(["noimageindex, noimageai"], AGENT, Kind.PAGE) is None
    assert x_robots_tag(["noindex"], AGENT, Kind.PAGE)


@pytest.mark.parametrize(
    ("values", "reserved"),
    [
        ([], False),
        (["0"], False),
        ([" 1 "], True),
        (["0", "1"], True),
        (["0, 1"], True),
        (["2"], False),
        (["true"], False),
    ],
)
def test_tdm_reservation(values: list[str], reserved: bool) -> None:
    assert (tdm_reservation(values, []) is not None) is reserved


def test_a_policy_is_passed_on() -> None:
    denial = tdm_reservation(["1"], ["https://images.example/policy"])
    assert denial == Denial(Reason.TDM_RESERVATION, "tdm-reservation: 1, policy 'https://images.example/policy'")


@pytest.mark.parametrize(
    ("content_type", "clear"),
    [
        ("", False),
        ("image/jpeg", False),
        ("image/svg+xml", False),  # the inspection says what it is
        ("IMAGE/PNG; x=y", False),
        ("application/octet-stream", False),
        ("binary/octet-stream", False),
        ("application/x-whatever", False),
        ("text/plain", False),
        ("jpg", False),
        ("text/html; charset=utf-8", True),
        (" Text/HTML", True),
        ("text/css", True),
        ("application/json", True),
        ("application/ld+json", True),
        ("application/xhtml+xml", True),
        ("application/pdf", True),
        ("video/mp4", True),
        ("audio/mpeg", True),
    ],
)
def test_content_type(content_type: str, clear: bool) -> None:
    assert (no_image(content_type) is not None) is clear


TEXTS = st.lists(st.sampled_from(["User-agent", "Disallow", "Allow", ":", "*", "/", "$", "%", ".jpg", "\n", "#", "é"]))
BODIES = st.one_of(st.binary(max_size=2_000), TEXTS.map(lambda words: " ".join(words).encode()))
PATHS = st.text(st.sampled_from("/a%2Fé?*$.#jpg"), max_size=30)


@given(BODIES, PATHS)
def test_no_file_trips_us_up(body: bytes, path: str) -> None:
    for rules in (RobotsTxt(body, AGENT), AiTxt(body, AGENT), Tdmrep(body)):
        rules.denial(f"{HOST}/{path}", Kind.IMAGE)


JSON = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()), st.lists)
ENTRIES = st.dictionaries(st.sampled_from(["location", "tdm-reservation", "tdm-policy"]), JSON)


@given(st.lists(ENTRIES), PATHS)
def test_no_rule_trips_us_up(entries: list[dict[str, object]], path: str) -> None:
    tdmrep(entries, f"/{path}")


@given(st.lists(st.binary(max_size=200)))
def test_no_header_trips_us_up(values: list[bytes]) -> None:
    texts = [value.decode("latin-1") for value in values]
    x_robots_tag(texts, AGENT, Kind.IMAGE)
    tdm_reservation(texts, texts)
    for text in texts:
        no_image(text)


@given(st.text(st.sampled_from("/abc*$"), max_size=12), st.text(st.sampled_from("/abc"), max_size=12))
def test_locations_mean_what_robots_txt_means_by_them(location: str, path: str) -> None:
    """The specification borrows the patterns of robots.txt; a `$` within them is an ordinary character there."""
    location = "/" + location.replace("$", "") + ("$" if location.endswith("$") else "")
    reserved = tdmrep(reserving(location), f"/{path}") is not None
    assert reserved is not robots(f"User-agent: *\nDisallow: {location}", f"/{path}")
