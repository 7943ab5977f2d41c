"""What sources say of a picture's rights, in one vocabulary; and which pictures a job's policy lets in. Pure.

Nothing is guessed. A text is understood when every word of it is; only what restricts is searched for anywhere. Where
two statements differ the one that grants less counts, and neither if each grants what the other does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache, reduce
from itertools import pairwise
from urllib.parse import urlsplit

from pixcrawler.errors import UsageError


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence, or another statement about rights. A permission that is not certain is False."""

    id: str  # SPDX's where it has one, "CC-BY-SA-3.0-DE"; made alike elsewhere
    family: str  # the id without version: "CC-BY-SA"
    name: str  # for people: "CC BY-SA 3.0 DE"
    version: str | None = None  # None: it has none, or the source does not say which
    url: str | None = None  # where its text is
    commercial: bool = False  # may be used to earn money
    derivatives: bool = False  # may be changed, and passed on so
    share_alike: bool = False  # changed ones must have the same licence
    attribution: bool = False  # its maker must be named
    public_domain: bool = False
    reserved: bool = False  # nothing is granted, or nobody knows


class Policy(StrEnum):
    """Which pictures a job takes; its option `rights`."""

    ANY = "any"
    KNOWN = "known"
    COMMERCIAL = "commercial"
    DERIVATIVES = "derivatives"
    PUBLIC_DOMAIN = "public-domain"


def parse_policy(value: object) -> Policy:
    """The policy of this name. Raises `UsageError`."""
    try:
        return Policy(value)  # type: ignore[arg-type]  # anything but a name is refused too
    except ValueError:
        raise UsageError(f"rights: expected {', '.join(Policy)}, got {str(value)[:40]!r}") from None


def allows(policy: Policy, licence: Licence | None) -> bool:
    """Whether a picture under this licence, None being unknown, is within the policy."""
    match policy:
        case Policy.ANY:
            return True
        case Policy.KNOWN:
            return licence is not None and not licence.reserved
        case Policy.COMMERCIAL:
            return licence is not None and licence.commercial
        case Policy.DERIVATIVES:
            return licence is not None and licence.derivatives
        case Policy.PUBLIC_DOMAIN:
            return licence is not None and licence.public_domain


def licence_of(said: str | None, url: str | None, source: str = "") -> Licence | None:
    """What a source says in two fields, as one licence. None: unknown, or the two contradict each other.

    `source` matters for Flickr alone, which has numbers: elsewhere a number means nothing.
    """
    texts = [text for text in (said, url) if text and text.strip()]
    claims = [normalise(text, source) for text in texts]
    doubtful = any(TAKES_BACK.search(text) for text, claim in zip(texts, claims, strict=True) if claim is None)
    understood: list[Licence | None] = [claim for claim in claims if claim]
    if not understood or doubtful:
        return None
    return _unless_denied(reduce(_agreed, understood), " ".join(texts))


def normalise(text: str | None, source: str = "") -> Licence | None:
    """The licence a text means: an address, an id, a slug, a template's name, or words. None: unknown."""
    line = " ".join((text or "").split())
    return _normalised(line, source) if 0 < len(line) <= LONGEST else None


@lru_cache(maxsize=4096)  # a crawl meets few texts, each many times
def _normalised(line: str, source: str) -> Licence | None:
    if source == "flickr" and line in FLICKR:
        return normalise(FLICKR[line])
    addresses, rest = ADDRESS.findall(line), ADDRESS.sub(" ", line)
    claims = [_from_address(address) for address in addresses]
    if not addresses or not all(FILLER.fullmatch(word) for word in _words(rest)):
        claims.append(_from_words(rest))
    return _unless_denied(reduce(_agreed, claims), line)


def _agreed(one: Licence | None, other: Licence | None) -> Licence | None:
    """What two statements about one picture come to."""
    if one is None or other is None:
        return None
    if one == other:
        return one
    if one.family == other.family:
        short, long = sorted((one, other), key=lambda licence: len(licence.id))
        return long if long.id.startswith(f"{short.id}-") else normalise(one.family)
    if one.public_domain and other.public_domain:
        named = [licence for licence in (one, other) if licence.id != "Public-Domain"]
        return named[0] if len(named) == 1 else STATEMENTS["Public-Domain"]
    if _freedoms(one) < _freedoms(other):
        return one
    return other if _freedoms(other) < _freedoms(one) else None


def _freedoms(licence: Licence) -> Set[str]:
    return {
        name
        for name, free in (
            ("commercial", licence.commercial),
            ("derivatives", licence.derivatives),
            ("any licence", not licence.share_alike),
            ("no credit", not licence.attribution),
            ("public domain", licence.public_domain),
            ("anything", not licence.reserved),
        )
        if free
    }


def freedom(licence: Licence | None) -> int:
    """How much a licence grants, to be compared: 0 if nobody knows."""
    return len(_freedoms(licence)) if licence and not licence.reserved else 0


def _unless_denied(licence: Licence | None, text: str) -> Licence | None:
    """None if the text denies anywhere what the licence found in it grants."""
    denied = licence and (
        (licence.commercial and NON_COMMERCIAL.search(text)) or (licence.derivatives and NO_DERIVATIVES.search(text))
    )
    return None if denied else licence


def _from_address(address: str) -> Licence | None:
    place = _place(address)
    if known := _BY_PLACE.get(place):
        return known
    found = CREATIVE_COMMONS.fullmatch(place)
    if found is None:
        return None
    slug, version, port = found.groups()
    if slug in DEDICATIONS:
        return STATEMENTS[DEDICATIONS[slug]] if version in (None, "1.0") else None
    return _creative_commons(set(slug.split("-")), version, port)


def _place(address: str) -> str:
    """The address without what may differ: scheme, www., upper case, query, slash and full stop at the end."""
    try:
        parts = urlsplit(address.rstrip(".,;:)>]\"'"))
        host = parts.hostname or ""
    except ValueError:
        return ""
    place = f"{host.removeprefix('www.')}{parts.path.rstrip('/')}".lower()
    return place.replace("rightsstatements.org/page/", "rightsstatements.org/vocab/")


def _from_words(text: str) -> Licence | None:
    lower = text.strip().lower()
    if ALL_RESERVED.search(lower):
        return STATEMENTS["All-Rights-Reserved"]
    if known := _BY_ID.get(lower):
        return known
    if TEMPLATE.fullmatch(lower):
        return STATEMENTS["US-Government" if lower.startswith("pd-usgov") else "Public-Domain"]
    said, versions, ports = _sorted_out(_words(lower))
    several = len(versions) > 1 or len(ports) > 1  # any of them may be meant
    version, port = (None if several else next(iter(found), None) for found in (versions, ports))
    if said <= ELEMENTS:
        theirs = versions <= VERSIONS and ("attribution" not in lower or versions or "cc" in said)
        return _creative_commons(said - {"cc"}, version, port) if theirs else None  # others want a credit too
    known = STATEMENTS.get(PHRASES.get(" ".join(sorted(said - {"cc"})), ""))
    if known is None or several or ports:
        return None
    return known if version in (None, known.version) else _BY_ID.get(f"{known.family}-{version}".lower())


def _words(text: str) -> list[str]:
    """The words in lower case; those that Creative Commons writes in many ways, in one. Any other sign is a word."""
    for written, meant in WRITTEN:
        text = written.sub(f" {meant} ", text)
    return WORD.findall(text.lower())


def _sorted_out(words: Sequence[str]) -> tuple[set[str], set[str], set[str]]:
    """What is said, the versions, and the jurisdictions: these only right after a version, for "no" is one too."""
    said, versions, ports = set[str](), set[str](), set[str]()
    for before, word in pairwise(["", *words]):
        if VERSION.fullmatch(word):
            versions.add(word if "." in word else f"{word}.0")
        elif PORT.fullmatch(word) and VERSION.fullmatch(before):
            ports.add(word)
        elif not FILLER.fullmatch(word):
            said.add(word)
    return said, versions, ports


def _creative_commons(elements: Set[str], version: str | None, port: str | None) -> Licence | None:
    """The licence of these elements, such as {"by", "sa"}; None if there is none."""
    sampling = elements in SAMPLING
    if not sampling and (not set() < elements <= {"by", "nc", "nd", "sa"} or {"nd", "sa"} <= elements):
        return None
    credited = "by" in elements or sampling
    if version not in (VERSIONS if "by" in elements else {"1.0"}) and not (version is None and credited):
        return None
    port = port if version and version < "4" else None  # since 4.0 there is one for the whole world
    names = [name for name in ("by", "nc", "nd", "sa", "sampling", "sampling+") if name in elements]
    slug = "-".join(names)
    address = slug.replace("nc-nd", "nd-nc") if version == "1.0" else slug
    parts = [part.upper() for part in ("cc", slug, version, port) if part]
    return Licence(
        id="-".join(parts),
        family=f"CC-{slug.upper()}",
        name=" ".join(parts),
        version=version,
        url="/".join(filter(None, (f"{_CC}licenses", address, version, port))) + "/" if version else None,
        commercial="nc" not in elements and not sampling,  # sampled works may be sold, whole ones may not
        derivatives="nd" not in elements,
        share_alike="sa" in elements,
        attribution=credited,
    )


# How things are written

LONGEST = 500  # characters; a longer text has more to say than a licence's name

ADDRESS = re.compile(r"(?:https?:)?//[^\s<>\"']+|(?<![\w./])(?:www\.)?creativecommons\.org/[^\s<>\"']+", re.IGNORECASE)
WORD = re.compile(r"\d+\.\d+|[^\s\-–—_/.,;:|()\[\]{}<>\"'“”]+")
WRITTEN = [
    (re.compile(pattern, re.IGNORECASE), meant)
    for pattern, meant in (
        (r"creative[\s_-]*commons", "cc"),
        (r"share[\s_-]*alike", "sa"),
        (r"non[\s_-]*commercial", "nc"),
        (r"non?[\s_-]*deriv(?:s|atives?)(?:[\s_-]+works?)?", "nd"),
        (r"attribution", "by"),
        (r"(?<![a-z0-9])cc[\s_-]*(?:0|zero)(?![a-z0-9])", "zero"),
        (r"public[\s_-]*domain", "pd"),
        (r"(?<![a-z0-9])v(?:ersion)?[\s_-]*(?=\d)", ""),
    )
]
FILLER = re.compile(
    "a|the|this|work|image|photo|picture|is|under|licensed|licenced|license|licence|deed|legalcode|self|content"
    "|international|generic|unported|universal|intergovernmental|dedication"
)
VERSION = re.compile(r"\d(?:\.\d)?")
VERSIONS = frozenset({"1.0", "2.0", "2.1", "2.5", "3.0", "4.0"})
PORT = re.compile(  # to the laws of a country, or of international organisations
    "ar|at|au|az|be|bg|br|ca|ch|cl|cn|co|cr|cz|de|dk|ec|ee|eg|es|fi|fr|ge|gr|gt|hk|hr|hu|ie|igo|il|in|it|jo|jp|kr|lu"
    "|mk|mt|mx|my|ni|nl|no|nz|pe|ph|pl|pr|pt|ro|rs|scotland|se|sg|si|th|tw|ug|uk|us|ve|vn|za"
)
ELEMENTS = frozenset({"cc", "by", "nc", "nd", "sa", "sampling", "sampling+"})
SAMPLING = ({"sampling"}, {"sampling+"}, {"nc", "sampling+"})
DEDICATIONS = {"zero": "CC0-1.0", "mark": "PDM-1.0", "publicdomain": "CC-PDDC"}
CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses|publicdomain)/([a-z+-]+)(?:/(\d\.\d))?"
    rf"(?:/({PORT.pattern}))?(?:/(?:deed|legalcode)(?:[._-][a-z_-]+)?)?"
)
TEMPLATE = re.compile(r"pd(?:-[a-z0-9]+)+")  # of Wikimedia Commons: PD-old-100

# What restricts, wherever it stands.
ALL_RESERVED = re.compile(r"all[\s_-]+rights?[\s_-]+reserved")
NON_COMMERCIAL = re.compile(r"(?<![a-z0-9])nc(?![a-z0-9])|no[nt]?[\s_-]*(?:for[\s_-]*)?commercial", re.IGNORECASE)
NO_DERIVATIVES = re.compile(r"(?<![a-z0-9])nd(?![a-z0-9])|non?[\s_-]*deriv", re.IGNORECASE)
TAKES_BACK = re.compile(
    r"\b(?:no|not|non|nc|nd|only|except|without|reserved|permission|editorial|personal|educational)\b"
    r"|restrict|prohibit|forbid|noncommercial|noderiv",
    re.IGNORECASE,
)


# Statements besides the licences of Creative Commons

_PUBLIC = Licence("", "", "", commercial=True, derivatives=True, public_domain=True)
_FREE = Licence("", "", "", commercial=True, derivatives=True)
_COPYLEFT = Licence("", "", "", commercial=True, derivatives=True, share_alike=True, attribution=True)
_RESERVED = Licence("", "", "", reserved=True)
_HARDLY_ANY = Licence("", "", "")  # what it permits is none of what a policy asks for

_CC = "https://creativecommons.org/"
_STATEMENT = "http://rightsstatements.org/vocab/"

STATEMENTS = {
    id_: replace(grants, id=id_, family=id_.removesuffix(f"-{version}"), name=name, version=version, url=url)
    for id_, name, version, url, grants in (
        ("CC0-1.0", "CC0 1.0", "1.0", f"{_CC}publicdomain/zero/1.0/", _PUBLIC),
        ("PDM-1.0", "Public Domain Mark 1.0", "1.0", f"{_CC}publicdomain/mark/1.0/", _PUBLIC),
        ("CC-PDDC", "CC Public Domain Dedication", None, f"{_CC}licenses/publicdomain/", _PUBLIC),
        ("Public-Domain", "Public domain", None, None, _PUBLIC),
        ("US-Government", "U.S. Government work", None, "https://www.usa.gov/government-copyright", _PUBLIC),
        ("Flickr-Commons", "No known copyright", None, "https://www.flickr.com/commons/usage/", _FREE),
        ("All-Rights-Reserved", "All rights reserved", None, None, _RESERVED),
        ("Unsplash", "Unsplash License", None, "https://unsplash.com/license", _FREE),
        ("Pexels", "Pexels License", None, "https://www.pexels.com/license/", _FREE),
        ("Pixabay", "Pixabay Content License", None, "https://pixabay.com/service/license-summary/", _FREE),
        ("GFDL", "GFDL", None, "https://www.gnu.org/copyleft/fdl.html", _COPYLEFT),
        ("GFDL-1.2", "GFDL 1.2", "1.2", "https://www.gnu.org/licenses/old-licenses/fdl-1.2.html", _COPYLEFT),
        ("GFDL-1.3", "GFDL 1.3", "1.3", "https://www.gnu.org/licenses/fdl-1.3.html", _COPYLEFT),
        ("InC-1.0", "In copyright", "1.0", f"{_STATEMENT}InC/1.0/", _RESERVED),
        ("InC-OW-EU-1.0", "In copyright, EU orphan work", "1.0", f"{_STATEMENT}InC-OW-EU/1.0/", _RESERVED),
        ("InC-RUU-1.0", "In copyright, owner not found", "1.0", f"{_STATEMENT}InC-RUU/1.0/", _RESERVED),
        ("InC-EDU-1.0", "In copyright, educational use only", "1.0", f"{_STATEMENT}InC-EDU/1.0/", _HARDLY_ANY),
        ("InC-NC-1.0", "In copyright, non-commercial use only", "1.0", f"{_STATEMENT}InC-NC/1.0/", _HARDLY_ANY),
        ("NoC-CR-1.0", "No copyright, but a contract", "1.0", f"{_STATEMENT}NoC-CR/1.0/", _HARDLY_ANY),
        ("NoC-NC-1.0", "No copyright, non-commercial use only", "1.0", f"{_STATEMENT}NoC-NC/1.0/", _HARDLY_ANY),
        ("NoC-OKLR-1.0", "No copyright, but other laws", "1.0", f"{_STATEMENT}NoC-OKLR/1.0/", _HARDLY_ANY),
        # Elsewhere there may be one.
        ("NoC-US-1.0", "No copyright in the United States", "1.0", f"{_STATEMENT}NoC-US/1.0/", _HARDLY_ANY),
        ("NKC-1.0", "No known copyright", "1.0", f"{_STATEMENT}NKC/1.0/", _FREE),
        ("CNE-1.0", "Copyright not evaluated", "1.0", f"{_STATEMENT}CNE/1.0/", _RESERVED),
        ("UND-1.0", "Copyright undetermined", "1.0", f"{_STATEMENT}UND/1.0/", _RESERVED),
    )
}

FLICKR = {  # https://www.flickr.com/services/api/flickr.photos.licenses.getInfo.html
    "0": "All-Rights-Reserved",
    "1": "CC-BY-NC-SA-2.0",
    "2": "CC-BY-NC-2.0",
    "3": "CC-BY-NC-ND-2.0",
    "4": "CC-BY-2.0",
    "5": "CC-BY-SA-2.0",
    "6": "CC-BY-ND-2.0",
    "7": "Flickr-Commons",
    "8": "US-Government",
    "9": "CC0-1.0",
    "10": "PDM-1.0",
    "11": "CC-BY-4.0",
    "12": "CC-BY-SA-4.0",
    "13": "CC-BY-ND-4.0",
    "14": "CC-BY-NC-4.0",
    "15": "CC-BY-NC-SA-4.0",
    "16": "CC-BY-NC-ND-4.0",
}

# Where else the statements are, as `_place` writes it.
OTHER_PLACES = {
    "creativecommons.org/publicdomain/certification/1.0/us": "CC-PDDC",
    "usa.gov/copyright.shtml": "US-Government",
    "usa.gov/government-works": "US-Government",
    "pexels.com/photo-license": "Pexels",
    "pixabay.com/license": "Pixabay",
    "pixabay.com/service/license": "Pixabay",
    "gnu.org/licenses/fdl.html": "GFDL",
    "gnu.org/licenses/fdl-1.2.html": "GFDL-1.2",
    "europeana.eu/rights/rr-f": "All-Rights-Reserved",  # before rightsstatements.org there were these
    "europeana.eu/rights/rr-p": "All-Rights-Reserved",
    "europeana.eu/rights/rr-r": "All-Rights-Reserved",
    "europeana.eu/rights/unknown": "UND-1.0",
    "europeana.eu/rights/out-of-copyright-non-commercial": "NoC-NC-1.0",
}
# What is said in words: in lower case, without "cc", in the order of the alphabet.
PHRASES = {
    "zero": "CC0-1.0",
    "pd zero": "CC0-1.0",
    "pdm": "PDM-1.0",
    "mark pd": "PDM-1.0",
    "pd": "Public-Domain",
    "gfdl": "GFDL",
    "documentation free gnu": "GFDL",
    "government states united": "US-Government",
    "government us": "US-Government",
    "copyright known no restrictions": "Flickr-Commons",
    "pexels": "Pexels",
    "pixabay": "Pixabay",
    "unsplash": "Unsplash",
}
_BY_ID = {id_.lower(): statement for id_, statement in STATEMENTS.items()}
_BY_PLACE = {_place(statement.url): statement for statement in STATEMENTS.values() if statement.url} | {
    place: STATEMENTS[id_] for place, id_ in OTHER_PLACES.items()
}
