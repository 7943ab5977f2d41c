"""A library's IIIF: a collection of manifests, of either version, and an image service that has its limits."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica

LEAVES = 30  # of a manifest
COLLECTION, MANIFEST, SERVICE = "/collection/", "/manifest/", "/image/"
WIDEST = 1000  # pixels that are served of some pictures
PRESENTATION_3 = "http://iiif.io/api/presentation/3/context.json"
PRESENTATION_2 = "http://iiif.io/api/presentation/2/context.json"
IMAGE_2 = "http://iiif.io/api/image/2/context.json"


class Iiif(Replica):
    """Every other manifest is of version 2: it names a picture small, and a service tells how large it may be."""

    source = "iiif"
    redesign = ('"type"', '"kind"')

    def __init__(self, total: int = 150) -> None:
        super().__init__(total)
        self._by_id: dict[str, Entry] = {}

    def arguments(self, keyword: str) -> dict[str, str]:
        return {"url": f"{self.url}{COLLECTION}{quote(keyword)}", "keywords": keyword}

    def page(self, asked: Asked) -> Answer | None:
        if asked.path.startswith(COLLECTION):
            return Answer.json(self._collection(asked.path.removeprefix(COLLECTION)))
        if asked.path.startswith(MANIFEST):
            keyword, _, number = asked.path.removeprefix(MANIFEST).rpartition("/")
            return Answer.json(self._manifest(keyword, int(number)))
        entry = self._by_id.get(asked.path.removeprefix(SERVICE).removesuffix("/info.json"))
        return Answer.json(self._info(entry)) if entry else None

    def _collection(self, keyword: str) -> dict[str, Any]:
        numbers = range(-(-len(self.entries(keyword)) // LEAVES))
        places = [f"{self.url}{MANIFEST}{quote(keyword)}/{number}" for number in numbers]
        return {
            "@context": PRESENTATION_3,
            "id": f"{self.url}{COLLECTION}{quote(keyword)}",
            "type": "Collection",
            "label": {"en": [keyword]},
            "items": [{"id": place, "type": "Manifest", "label": {"en": ["A volume"]}} for place in places],
        }

    def _manifest(self, keyword: str, number: int) -> dict[str, Any]:
        leaves = self.entries(keyword)[number * LEAVES : (number + 1) * LEAVES]
        place = f"{self.url}{MANIFEST}{quote(keyword)}/{number}"
        by_version = _second(place) if number % 2 else _third(place)
        canvases = self.records(leaves)
        return by_version | ({"sequences": [{"canvases": canvases}]} if number % 2 else {"items": canvases})

    def record(self, entry: Entry) -> dict[str, Any]:
        number = self._number(entry)
        self._by_id[entry.id] = entry
        canvas = f"{self.url}/canvas/{entry.id}"
        size = {"width": entry.width or 1200, "height": entry.height or 900}
        service = f"{self.url}{SERVICE}{entry.id}"
        if number // LEAVES % 2:
            resource = {"@id": f"{service}/full/200,/0/default.jpg", "@type": "dctypes:Image", "format": "image/jpeg"}
            profile = "http://iiif.io/api/image/2/level1.json"
            resource["service"] = {"@context": IMAGE_2, "@id": service, "profile": profile}  # type: ignore[assignment]
            images = [{"@type": "oa:Annotation", "motivation": "sc:painting", "resource": resource, "on": canvas}]
            return {"@id": canvas, "@type": "sc:Canvas", "label": f"p. {number}", "images": images, **size}
        url = self.at(f"{SERVICE}{entry.id}/full/max/0/default.jpg", entry)
        services = [{"id": service, "type": "ImageService3", "profile": "level2"}]
        body = {"id": url, "type": "Image", "format": "image/jpeg", **size, "service": services}
        painted = {"type": "Annotation", "motivation": "painting", "body": body, "target": canvas}
        page = {"type": "AnnotationPage", "items": [painted]}
        return {"id": canvas, "type": "Canvas", "label": {"none": [f"p. {number}"]}, "items": [page], **size}

    def _info(self, entry: Entry) -> dict[str, Any]:
        width, height = entry.width or 1200, entry.height or 900
        limited = self._number(entry) % 2 and width > WIDEST
        size = f"{WIDEST}," if limited else "full"
        self.at(f"{SERVICE}{entry.id}/full/{size}/0/default.jpg", entry)
        limits: dict[str, Any] = {"formats": ["jpg"], "maxWidth": WIDEST} if limited else {"formats": ["jpg"]}
        return {
            "@context": IMAGE_2,
            "@id": f"{self.url}{SERVICE}{entry.id}",
            "protocol": "http://iiif.io/api/image",
            "width": width,
            "height": height,
            "profile": ["http://iiif.io/api/image/2/level1.json", limits],
        }

    def spoiled(self, record: Any) -> dict[str, Any]:
        return {name: value for name, value in record.items() if name not in ("items", "images")}


def _third(place: str) -> dict[str, Any]:
    return {
        "@context": PRESENTATION_3,
        "id": place,
        "type": "Manifest",
        "label": {"en": ["A volume of plates"]},
        "rights": "https://creativecommons.org/publicdomain/mark/1.0/",
        "requiredStatement": {"label": {"en": ["Credit"]}, "value": {"en": ["The Library"]}},
        "metadata": [{"label": {"en": ["Creator"]}, "value": {"en": ["M. Aldous"]}}],
    }


def _second(place: str) -> dict[str, Any]:
    return {
        "@context": PRESENTATION_2,
        "@id": place,
        "@type": "sc:Manifest",
        "label": "A volume of plates",
        "license": "https://creativecommons.org/licenses/by/4.0/",
        "attribution": "The Library",
        "metadata": [{"label": "Creator", "value": "M. Aldous"}],
    }
