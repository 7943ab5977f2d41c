"""What recordings of the source `iiif` do not show: every kind of service, and documents of odd shapes."""

from __future__ import annotations

from typing import Any

import pytest

from pixcrawler.errors import SourceRefused
from pixcrawler.markup.iiif import addresses, largest, pictures

BASE = "https://iiif.example.org/m"
PLACE = "https://iiif.example.org/image/1"


def info(**more: Any) -> dict[str, Any]:
    return {"@context": "http://iiif.io/api/image/2/context.json", "@id": PLACE, "width": 6000, "height": 4000, **more}


def manifest(*canvases: Any, **more: Any) -> dict[str, Any]:
    return {"id": BASE, "type": "Manifest", "label": {"en": ["A book"]}, "items": list(canvases), **more}


def canvas(body: Any, **more: Any) -> dict[str, Any]:
    return {"type": "Canvas", "items": [{"items": [{"motivation": "painting", "body": body}]}], **more}


def image(**more: Any) -> dict[str, Any]:
    return {"id": f"{PLACE}/full/500,/0/default.jpg", "type": "Image", **more}


@pytest.mark.parametrize(
    ("said", "size", "width", "height"),
    [
        ({}, "full", 6000, 4000),
        ({"profile": "http://iiif.io/api/image/2/level0.json"}, "full", 6000, 4000),
        ({"profile": ["level1", {"maxWidth": 6000}]}, "full", 6000, 4000),
        ({"profile": ["level1", {"maxWidth": 3000}]}, "3000,", 3000, 2000),
        ({"profile": ["level1", {"maxWidth": 3000, "maxHeight": 1000}]}, "1500,", 1500, 1000),
        ({"profile": ["level1", {"maxArea": 6_000_000}]}, "3000,", 3000, 2000),
        ({"@context": "http://iiif.io/api/image/3/context.json", "maxWidth": 3000}, "max", 3000, 2000),
    ],
)
def test_asks_for_the_largest_a_service_serves(said: dict[str, Any], size: str, width: int, height: int) -> None:
    assert largest(info(**said)) == (f"{PLACE}/full/{size}/0/default.jpg", width, height)


@pytest.mark.parametrize(
    ("service", "found"),
    [
        ([], {"url": f"{PLACE}/full/500,/0/default.jpg"}),
        ({"@id": "https://iiif.example.org/login", "profile": "http://iiif.io/api/auth/1/login"}, None),
        ({"id": f"{PLACE}/", "type": "ImageService3"}, {"url": f"{PLACE}/full/max/0/default.jpg"}),
        ([{"@id": PLACE, "@type": "ImageService2"}], {"service": f"{PLACE}/info.json"}),
    ],
)
def test_knows_whom_to_ask_for_the_picture(service: Any, found: dict[str, str] | None) -> None:
    (facts,) = pictures(manifest(canvas(image(service=service))), BASE)
    expected = found or {"url": f"{PLACE}/full/500,/0/default.jpg"}
    assert {name: facts.get(name) for name in expected} == expected
    assert ("service" in facts) is ("service" in expected)


@pytest.mark.parametrize(
    "broken",
    [{"id": "c"}, {"items": 7}, {"items": [{"items": [{}]}]}, None, 7, canvas(None), canvas({"type": "Image"})],
)
def test_a_canvas_of_another_shape_costs_no_other(broken: Any) -> None:
    assert len(list(pictures(manifest(broken, canvas(image())), BASE))) == 1


@pytest.mark.parametrize(
    "service", [{"width": 0, "profile": ["level1", {"maxWidth": 9}]}, {"width": "9", "profile": [{}]}]
)
def test_a_service_of_another_shape_costs_no_other(service: Any) -> None:
    odd = {"@id": PLACE, "@type": "ImageService2", "height": 9, **service}
    assert len(list(pictures(manifest(canvas(image(service=odd)), canvas(image())), BASE))) == 1


def test_a_body_that_does_not_tell_its_type_is_taken_for_a_picture() -> None:
    assert len(list(pictures(manifest(canvas({"id": f"{BASE}/1.jpg"}), canvas(image(type="Video"))), BASE))) == 1


@pytest.mark.parametrize(
    "about", [{"metadata": ["Date", None]}, {"metadata": {}}, {"requiredStatement": []}, {"label": 7}]
)
def test_what_is_said_oddly_of_a_manifest_is_left_out(about: dict[str, Any]) -> None:
    assert len(list(pictures(manifest(canvas(image()), **about), BASE))) == 1


def test_what_cannot_be_read_at_all_is_refused() -> None:
    with pytest.raises(SourceRefused, match="none of 2 canvases"):
        list(pictures(manifest({"id": "c"}, {"id": "d"}), BASE))
    for document in ({}, [], None, "Manifest", {"type": "Canvas"}):
        with pytest.raises(SourceRefused, match="neither a manifest nor a collection"):
            list(addresses(document, BASE))


def test_a_manifest_without_pictures_is_one_all_the_same() -> None:
    empty = manifest()
    assert list(pictures(empty, BASE)) == list(addresses(empty, BASE)) == []


def test_a_canvas_own_rights_count_for_its_pictures() -> None:
    first, second = pictures(
        manifest(canvas(image()), canvas(image(), rights="https://r.example/2"), rights="https://r.example/1"), BASE
    )
    assert (first["license_url"], second["license_url"]) == ("https://r.example/1", "https://r.example/2")
