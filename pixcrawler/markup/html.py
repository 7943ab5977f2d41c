"""Web pages: their pictures, with what JSON-LD and links say of them, and the page that comes next."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from parsel import Selector

from pixcrawler.markup import Facts, absolute, is_picture, number
from pixcrawler.opt_outs import Denial, Kind
from pixcrawler.opt_outs.headers import tdm_reservation, x_robots_tag

AGENT = "PixCrawler"
SRCSETS = ("srcset", "data-srcset", "data-lazy-srcset", "data-original-set")
ORIGINALS = ("data-original", "data-src", "data-lazy-src", "data-lazy", "src")  # src may be a stand-in for the others
UNREAD_TYPES = ("image/avif", "image/jxl", "image/svg+xml")  # a browser would choose among them what it can show
SHARED = ("og:image", "twitter:image", "twitter:image:src")
SHARED_FACTS = {
    "og:image:url": "url",
    "og:image:secure_url": "url",
    "og:image:width": "width",
    "og:image:height": "height",
    "og:image:type": "mime",
    "og:image:alt": "title",
}
NOT_SHOWN = ("logo", "thumbnail")  # in JSON-LD
NEXT_WORDS = ("next", "next page", "older", "older posts", "older entries")
ARROWS = re.compile(r"[\s<>«»‹›←→⟩…]+")
LICENCE = 'contains(concat(" ", normalize-space(@rel), " "), " license ")'
LICENCES = f"//a[@href][{LICENCE}] | //link[@href][{LICENCE}]"
PARTS = "ancestor::*[self::figure or self::article or self::li][position() <= 3]"  # the innermost one last
MOST_PICTURES = 10_000  # of a page; a second's work
STATEMENTS = 100_000  # of JSON-LD that are looked at; a page of a thousand pictures makes fewer


def base_of(page: Selector, address: str) -> str:
    """What addresses on a page are relative to."""
    return absolute(address, page.css("base::attr(href)").get()) or address


def pictures(page: Selector, base: str) -> list[Facts]:
    """The pictures of a page at `base`, each once, in their order, the largest form it offers of each."""
    told = {facts["url"]: facts for facts in _absolute(base, _structured(page))}
    links = page.xpath(LICENCES)
    licences = {link.attrib["href"] for link in links}
    common = {"license_url": licences.pop()} if len(licences) == 1 else {}
    parts = {part.root: link.attrib["href"] for link in links for part in link.xpath(PARTS)[-1:]}
    stated = chain(_shown(page, parts), _linked(page), _shared(page))
    found: dict[str, Facts] = {}
    for facts in chain(_absolute(base, (common | facts for facts in stated)), told.values()):
        found.setdefault(facts["url"], facts | told.get(facts["url"], {}))
    return list(found.values())


def next_page(page: Selector, base: str) -> str | None:
    """The address of the page that goes on where this one ends; `base` itself is none."""
    said = page.css('link[rel~="next" i]::attr(href), a[rel~="next" i]::attr(href)').getall()
    worded = (link.attrib["href"] for link in page.css("a[href]") if _says_next(link))
    addresses = (absolute(base, href) for href in chain(said, worded) if not href.startswith("#"))
    return next((address for address in addresses if address and address != base), None)


def reservation(page: Selector) -> Denial | None:
    """What the page's own head reserves."""
    named = [(meta.attrib["name"].lower(), meta.attrib.get("content", "")) for meta in page.css("meta[name]")]
    robots = [content for name, content in named if name in ("robots", AGENT.lower())]
    reserved = [content for name, content in named if name == "tdm-reservation"]
    policies = [content for name, content in named if name == "tdm-policy"]
    return x_robots_tag(robots, AGENT, Kind.IMAGE) or tdm_reservation(reserved, policies)


def is_shell(page: Selector) -> bool:
    """Whether a page shows nothing until its scripts have run."""
    words = page.xpath("//body//text()[not(ancestor::script or ancestor::style or ancestor::noscript)]").getall()
    return bool(page.css("script")) and not any(map(str.strip, words))


def _absolute(base: str, found: Iterable[Facts]) -> Iterator[Facts]:
    for facts in found:
        if url := absolute(base, facts.get("url")):
            links = {name: absolute(base, facts[name]) for name in ("license_url", "creator_url") if name in facts}
            yield {name: value for name, value in (facts | links).items() if value} | {"url": url}


def _shown(page: Selector, licences: Mapping[Any, str]) -> Iterator[Facts]:
    """The pictures shown; `licences` are those of parts of the page, of which the innermost counts."""
    for image in page.css("img, amp-img")[:MOST_PICTURES]:
        facts: Facts = {"url": _best(image), "title": image.attrib.get("alt") or image.attrib.get("title")}
        parts = reversed(image.xpath(PARTS)) if licences else ()
        if own := next((licences[part.root] for part in parts if part.root in licences), None):
            facts["license_url"] = own
        yield facts


def _best(image: Selector) -> str | None:
    """The original a picture is a link to, or the largest of the forms it is offered in."""
    link = image.xpath("ancestor::a[1]/@href").get()
    if link and is_picture(link):
        return link
    inside = image.xpath("ancestor::picture[1]//source")  # the parser may nest them
    sources = [one for one in inside if one.attrib.get("type") not in UNREAD_TYPES]
    sets = (one.attrib.get(name, "") for one in (*sources, image) for name in SRCSETS)
    offered = [candidate for text in sets for candidate in _candidates(text)]
    if offered:
        return max(offered, key=lambda candidate: candidate[0])[1]
    forms = (image.attrib.get(name, "").strip() for name in ORIGINALS)
    return next((form for form in forms if form and not form.startswith("data:")), None)


def _candidates(srcset: str) -> Iterator[tuple[float, str]]:
    """Each address of a srcset with its width in pixels, or density. Addresses may contain commas."""
    parted = re.sub(r"(\s[\d.]+[wxh]),", r"\1, ", srcset)
    for part in re.split(r",\s+", parted):
        address, *descriptors = part.split() or [""]
        if address and not address.startswith("data:"):
            yield number(descriptors[0][:-1]) if descriptors else 1.0, address.rstrip(",")


def _linked(page: Selector) -> Iterator[Facts]:
    links = (link for link in page.css("a[href]") if is_picture(link.attrib["href"]))
    for link in islice(links, MOST_PICTURES):
        title = link.attrib.get("title") or link.xpath("normalize-space()").get()
        yield {"url": link.attrib["href"], "title": title}


def _shared(page: Selector) -> Iterator[Facts]:
    """What the page shows where it is shared: Open Graph and its kin; facts follow the picture they are about."""
    facts: Facts = {}
    for meta in page.css("meta[content]"):
        name = (meta.attrib.get("property") or meta.attrib.get("name") or "").lower()
        if name in SHARED:
            yield facts
            facts = {"url": meta.attrib["content"]}
        elif name in SHARED_FACTS:
            facts[SHARED_FACTS[name]] = meta.attrib["content"]
    yield facts


def _structured(page: Selector) -> Iterator[Facts]:
    for text in page.css('script[type="application/ld+json"]::text').getall():
        try:
            yield from _stated(json.loads(text, strict=False))
        except (ValueError, RecursionError):
            continue  # of one block; browsers take no notice either


def _stated(statement: Any) -> Iterator[Facts]:
    """The pictures of a JSON-LD document."""
    waiting = [statement]
    for _ in range(STATEMENTS):
        if not waiting:
            return
        thing = waiting.pop()
        if isinstance(thing, list):
            waiting += reversed(thing)
        elif isinstance(thing, dict):
            waiting += [value for name, value in reversed(thing.items()) if name not in NOT_SHOWN]
            yield from _about(thing)


def _about(thing: dict[str, Any]) -> Iterator[Facts]:
    if "ImageObject" in _several(thing.get("@type")):
        creators = [one for one in _several(thing.get("creator") or thing.get("author")) if one]
        named = [one.get("name") if isinstance(one, dict) else one for one in creators]
        yield {
            "url": _text(thing.get("contentUrl")) or _text(thing.get("url")),
            "title": _text(thing.get("name")) or _text(thing.get("caption")),
            "creator": ", ".join(name for name in named if isinstance(name, str)),
            "creator_url": _text(creators[0].get("url")) if creators and isinstance(creators[0], dict) else None,
            "license_url": _text(thing.get("license")) or _text(thing.get("acquireLicensePage")),
            "attribution": _text(thing.get("creditText")) or _text(thing.get("copyrightNotice")),
            "width": _text(thing.get("width")),
            "height": _text(thing.get("height")),
            "mime": _text(thing.get("encodingFormat")),
        }
    for image in _several(thing.get("image")):
        if isinstance(image, str):
            yield {"url": image, "title": _text(thing.get("name")) or _text(thing.get("headline"))}


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str | None:
    """The text of a value, whichever way JSON-LD writes it."""
    for one in _several(value):
        if isinstance(one, dict):
            one = one.get("url") or one.get("@id") or one.get("@value") or one.get("value")
        if isinstance(one, str | int | float):
            return str(one)
    return None


def _says_next(link: Selector) -> bool:
    texts = (link.xpath("string()").get(""), link.attrib.get("aria-label", ""))
    return any(ARROWS.sub(" ", text).strip().lower() in NEXT_WORDS for text in texts)
