"""IIIF: the pictures of Presentation manifests (2 and 3), what collections name, and how large an image service serves.

Specifications: https://iiif.io/api/presentation/ and https://iiif.io/api/image/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import sqrt
from typing import Any

from pixcrawler.errors import SourceRefused
from pixcrawler.markup import Facts, absolute, number

COLLECTIONS = ("Collection", "CollectionPage")
NAMED = ("collections", "manifests", "members", "items")  # what a collection names, in either version
WHOLE = re.compile(r"/full/(full|max)/0/[a-z]+\.[a-z]+")  # of an image's address, behind its service's
UNTOLD = "None"  # the type of what does not say
CREATORS = {"creator", "creators", "artist", "artists", "author", "authors", "maker", "photographer"}


def addresses(document: Any, base: str) -> Iterator[str]:
    """What a collection leads to: collections, manifests and its next page. Raises `SourceRefused` for neither kind."""
    if _kind(document) not in (*COLLECTIONS, "Manifest"):
        raise SourceRefused("is neither a manifest nor a collection")
    if _kind(document) in COLLECTIONS:
        named = [one for name in NAMED for one in _several(document.get(name))]
        for one in [*named, document.get("first"), document.get("next")]:
            if address := absolute(base, _id(one)):
                yield address


def pictures(document: Any, base: str) -> Iterator[Facts]:
    """The pictures of a manifest in the order of its canvases; `service` is there where that has to be asked how large.

    Raises `SourceRefused` where no canvas can be read.
    """
    if _kind(document) != "Manifest":
        return
    common = _about(document, base)
    unread = found = 0
    for canvas in _canvases(document):
        try:
            bodies = list(_bodies(canvas))
            known = common | _about_canvas(canvas, common)
            for body in bodies:
                yield {name: value for name, value in (known | _picture(body, base)).items() if value}
                found += 1
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError):
            unread += 1
    if unread and not found:
        raise SourceRefused(f"none of {unread} canvases can be read")


def largest(info: Any) -> tuple[str, int, int]:
    """The address of the largest form that a service serves by its info.json, with width and height in pixels."""
    service, width, height = _id(info).rstrip("/"), info["width"], info["height"]
    limits = [part for part in [info, *_several(info.get("profile"))] if isinstance(part, dict)]
    shrunk = min([1.0, *(_share(limit, width, height) for limit in limits)])
    width, height = int(width * shrunk), int(height * shrunk)
    if _version(info) == 3:
        return f"{service}/full/max/0/default.jpg", width, height
    size = "full" if shrunk == 1 else f"{width},"
    return f"{service}/full/{size}/0/{'native' if _version(info) == 1 else 'default'}.jpg", width, height


def _share(limit: dict[str, Any], width: int, height: int) -> float:
    """By how much a picture is to be shrunk to be within the limits told."""
    widest = number(limit.get("maxWidth"))
    highest = number(limit.get("maxHeight")) or widest  # as the specification says
    area = number(limit.get("maxArea"))
    return min(
        widest / width if widest else 1.0,
        highest / height if highest else 1.0,
        sqrt(area / (width * height)) if area else 1.0,
    )


def _canvases(manifest: dict[str, Any]) -> list[Any]:
    if "sequences" in manifest:
        return [canvas for sequence in manifest["sequences"][:1] for canvas in _several(sequence.get("canvases"))]
    return _several(manifest["items"])


def _bodies(canvas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The pictures painted on a canvas; of several to choose from the first."""
    if "images" in canvas:
        painted = [annotation["resource"] for annotation in canvas["images"]]
        painted = [body.get("default", body) for body in painted]
    else:
        annotations = [annotation for page in canvas["items"] for annotation in _several(page.get("items"))]
        painted = [one["body"] for one in annotations if one.get("motivation", "painting") == "painting"]
        painted = [body["items"][0] if _kind(body) == "Choice" else body for body in map(_first, painted)]
    yield from (body for body in painted if _kind(body) in ("Image", UNTOLD))


def _picture(body: dict[str, Any], base: str) -> Facts:
    """Where the largest form of a picture is, or whom to ask for it."""
    own = {"url": _needed(absolute(base, _id(body))), **_size(body), "mime": body.get("format")}
    service = _image_service(body)
    if service is None:
        return own
    place = _id(service).rstrip("/")
    facts = {"source_id": place}
    if _version(service) == 3:
        return facts | {"url": f"{place}/full/max/0/default.jpg"} | _size(service)
    if "width" in service and any(isinstance(part, dict) for part in _several(service.get("profile"))):
        url, width, height = largest(service)
        return facts | {"url": url, "width": width, "height": height}
    if own["url"].startswith(place) and WHOLE.fullmatch(own["url"].removeprefix(place)):
        return facts | own
    return facts | {"url": own["url"], "service": f"{place}/info.json"}


def _image_service(body: dict[str, Any]) -> dict[str, Any] | None:
    """The service that serves the picture: others log people in, or search."""
    services = [one for one in _several(body.get("service")) if isinstance(one, dict)]
    return next((one for one in services if "image" in _said(one).lower()), None)


def _size(thing: dict[str, Any]) -> Facts:
    return {name: thing.get(name) for name in ("width", "height")}


def _about(document: dict[str, Any], base: str) -> Facts:
    """What is said of a manifest's pictures all together."""
    pairs = [pair for pair in _several(document.get("metadata")) if isinstance(pair, dict)]
    said = [(_words(pair.get("label")), _words(pair.get("value"))) for pair in pairs]
    required = _first(document.get("requiredStatement")) or {}
    page = document.get("homepage") or document.get("related")
    return {
        "title": _words(document.get("label")),
        "creator": next((value for label, value in said if label and label.lower() in CREATORS), None),
        "page_url": absolute(base, _id(_first(page))) or base,
        "attribution": _words(required.get("value")) or _words(document.get("attribution")),
        "license_url": absolute(base, _rights(document)),
    }


def _about_canvas(canvas: dict[str, Any], common: Facts) -> Facts:
    titles = dict.fromkeys(filter(None, (common["title"], _words(canvas.get("label")))))
    rights = _rights(canvas)
    return {"title": ", ".join(titles)} | ({"license_url": absolute("", rights)} if rights else {})


def _rights(thing: dict[str, Any]) -> Any:
    return _first(thing.get("rights") or thing.get("license"))


def _version(service: dict[str, Any]) -> int:
    """Which Image API a service speaks; 2 where it does not say."""
    if re.search(r"ImageService3|image/3/", _said(service)):
        return 3
    return 1 if re.search(r"ImageService1|image/1|image-api/(1|compliance)", _said(service)) else 2


def _said(service: dict[str, Any]) -> str:
    """What a service says of its kind."""
    return " ".join(str(service.get(name)) for name in ("type", "@type", "@context", "profile"))


def _kind(thing: Any) -> str:
    """The type without the prefix that version 2 has: `sc:Manifest`, `dctypes:Image`."""
    said = thing.get("type") or thing.get("@type") if isinstance(thing, dict) else None
    return str(_first(said)).rpartition(":")[2]


def _id(thing: Any) -> str:
    return str(thing.get("id") or thing.get("@id") or "") if isinstance(thing, dict) else str(thing or "")


def _words(label: Any) -> str | None:
    """The text of a label: text, texts, texts by language (English first), or with `@value`."""
    if isinstance(label, dict):
        label = label.get("@value") or label.get("en") or next(iter(label.values()), None)
    words = [_words(one) if isinstance(one, dict) else one for one in _several(label)]
    return ", ".join(word for word in words if isinstance(word, str)) or None


def _several(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _first(value: Any) -> Any:
    return next(iter(_several(value)), None)


def _needed(address: str | None) -> str:
    if address is None:
        raise LookupError("no address")
    return address
