"""What files say in their metadata. The packets are written as ExifTool, Adobe's and other programs write them."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import chunk, encoded, photo
from PIL import Image

from pixcrawler.imaging import inspect
from pixcrawler.metadata import MOST_BYTES, data_mining, has_gps

HEAD = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
)
TAIL = '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"
KINDS = ("jpeg", "png", "webp", "gif")
PROHIBITIONS = (
    "DMI-PROHIBITED",
    "DMI-PROHIBITED-AIMLTRAINING",
    "DMI-PROHIBITED-GENAIMLTRAINING",
    "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING",
    "DMI-PROHIBITED-SEECONSTRAINT",
    "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR",
    "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR",
)


def packet(element: str = "", attribute: str = "") -> bytes:
    return f"{HEAD} {attribute}>{element}{TAIL}".encode()


def stated(value: str) -> bytes:
    return packet(f"<plus:DataMining>{VOCABULARY}{value}</plus:DataMining>")


def constrained(words: str) -> bytes:
    inner = f'<rdf:Alt><rdf:li xml:lang="x-default">{words}</rdf:li></rdf:Alt>'
    return packet(f"<plus:OtherConstraints>{inner}</plus:OtherConstraints>")


@cache
def plain(kind: str) -> bytes:
    return encoded(photo(1, (320, 240)), kind)


def with_xmp(kind: str, xmp: bytes) -> bytes:
    """A picture with this packet where the format has its place for it."""
    body = plain(kind)
    match kind:
        case "jpeg":
            return body[:2] + segment(b"http://ns.adobe.com/xap/1.0/\0" + xmp) + body[2:]
        case "png":
            return with_chunk(chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + xmp))
        case "webp":
            return encoded(Image.open(BytesIO(body)), "webp", xmp=xmp)
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    return body[:-1] + b"!\xff\x0bXMP DataXMP" + xmp + trailer + body[-1:]


def segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def with_chunk(extra: bytes) -> bytes:
    body = plain("png")
    end = body.rindex(b"IEND") - 4
    return body[:end] + extra + body[end:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", PROHIBITIONS)
def test_every_prohibition_in_every_format(kind: str, value: str) -> None:
    body = with_xmp(kind, stated(value))
    assert Image.open(BytesIO(body)).size == (320, 240)
    assert data_mining(body) == value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ["DMI-UNSPECIFIED", "DMI-ALLOWED", ""])
def test_what_does_not_prohibit(kind: str, value: str) -> None:
    assert data_mining(with_xmp(kind, stated(value))) is None
    assert data_mining(plain(kind)) is None


@pytest.mark.parametrize(
    "xmp",
    [
        packet(attribute=f'plus:DataMining="{VOCABULARY}DMI-PROHIBITED"'),
        packet(attribute="plus:DataMining='DMI-PROHIBITED'"),
        packet(attribute='\n   plus:DataMining = "DMI-PROHIBITED"'),
        packet(f'<plus:DataMining rdf:resource="{VOCABULARY}DMI-PROHIBITED"/>'),
        packet("<plus:DataMining>\n  DMI-PROHIBITED\n</plus:DataMining>"),
        packet("<plus:DataMining><rdf:Bag><rdf:li>DMI-PROHIBITED</rdf:li></rdf:Bag></plus:DataMining>"),
        packet('<plus:DataMining rdf:parseType="Resource"><rdf:value>DMI-PROHIBITED</rdf:value></plus:DataMining>'),
        packet('<p0:DataMining xmlns:p0="http://ns.useplus.org/ldf/xmp/1.0/">dmi-prohibited</p0:DataMining>'),
        packet('<DataMining xmlns="http://ns.useplus.org/ldf/xmp/1.0/">DMI-PROHIBITED</DataMining>'),
        stated("DMI-PROHIBITED").decode().encode("utf-16"),
        stated("DMI-PROHIBITED").decode().encode("utf-32-be"),
        stated("DMI-PROHIBITED")[:-60],  # cut off
        packet("<dc:title>1 < 2 & 3</dc:title>") + stated("DMI-PROHIBITED"),  # not well-formed
        stated("DMI-ALLOWED") + stated("DMI-PROHIBITED"),
    ],
)
def test_every_way_of_writing_it(xmp: bytes) -> None:
    assert data_mining(with_xmp("jpeg", xmp)) == "DMI-PROHIBITED"


@pytest.mark.parametrize(
    "xmp",
    [
        packet("<dc:title>DMI-PROHIBITED</dc:title>"),
        packet("<dc:description>plus:DataMining may be DMI-PROHIBITED</dc:description>"),
        packet("<plus:DataMining>DMI-ALLOWED</plus:DataMining><dc:title>DMI-PROHIBITED</dc:title>"),
        packet("<plus:DataMining/><dc:title>PROHIBITED</dc:title>"),
        packet(attribute='plus:DataMining="DMI-ALLOWED" dc:title="DMI-PROHIBITED"'),
        packet("<plus:DataMiningNotes>DMI-PROHIBITED</plus:DataMiningNotes>"),
    ],
)
def test_only_the_property_itself_counts(xmp: bytes) -> None:
    assert data_mining(with_xmp("png", xmp)) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("No AI training.", "OtherConstraints"),
        ("Not to be used for text and data mining", "OtherConstraints"),
        ("All rights for machine learning are reserved", "OtherConstraints"),
        ("Use in artificial intelligence is prohibited without a licence", "OtherConstraints"),
        ("No use on book covers", None),
        ("AI training is welcome", None),
        ("Do not crop: the train must be seen", "OtherConstraints"),  # rather once too often
        ("", None),
    ],
)
def test_constraints_in_words(words: str, expected: str | None) -> None:
    assert data_mining(with_xmp("webp", constrained(words))) == expected


def test_a_packet_over_several_jpeg_segments() -> None:
    body = encoded(photo(1), "jpeg")
    long = packet(f"<dc:description>{'x' * 90_000}</dc:description>") + stated("DMI-PROHIBITED-AIMLTRAINING")
    middle = long.index(b"PROHIBITED") + 4
    pieces = [long[:60_000], long[60_000:middle], long[middle:]]
    header = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32
    offsets = [0, 60_000, middle]
    more = b"".join(
        segment(header + struct.pack(">II", len(long), offset) + piece)
        for offset, piece in zip(offsets, pieces, strict=True)
    )
    assert data_mining(body[:2] + more + body[2:]) == "DMI-PROHIBITED-AIMLTRAINING"


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(stated("DMI-PROHIBITED"))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0en\0packet\0" + stated("DMI-PROHIBITED")),
        chunk(b"tEXt", b"Raw profile type xmp\0\nxmp\n    900\n" + stated("DMI-PROHIBITED").hex("\n", 36).encode()),
        chunk(
            b"zTXt",
            b"Raw profile type xmp\0\0" + zlib.compress(b"\nxmp\n 9\n" + stated("DMI-PROHIBITED").hex().encode()),
        ),
    ],
    ids=["packed", "with a language", "raw profile", "packed raw profile"],
)
def test_every_place_in_a_png(extra: bytes) -> None:
    assert data_mining(with_chunk(extra)) == "DMI-PROHIBITED"


def test_the_inspection_tells() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)})
    plain = inspect(encoded(photo(1)))
    assert (plain.data_mining, plain.gps) == (None, False)
    both = inspect(encoded(photo(1), exif=exif, xmp=stated("DMI-PROHIBITED")))
    assert (both.data_mining, both.gps) == ("DMI-PROHIBITED", True)


def test_a_camera_without_a_fix_tells_no_place() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({0: b"\2\3\0\0"})
    assert not has_gps(Image.open(BytesIO(encoded(photo(1), exif=exif))))


@pytest.mark.parametrize(
    "junk", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x88\x25" * 9]
)
def test_broken_exif_tells_no_place(junk: bytes) -> None:
    body = plain("jpeg")
    assert not inspect(body[:2] + segment(junk) + body[2:]).gps


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "PROHIBITED"><!ENTITY b "'
    + b"&a;" * 1000
    + b'">]><x><plus:DataMining>&b;&b;</plus:DataMining>'
)
STARTS = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF\0\0\0\0WEBP", "gif": b"GIF89a"}
PACKED = zlib.compress(bytes(50 << 20), 9)


@pytest.mark.parametrize(
    "body",
    [
        with_xmp("jpeg", BOMB),
        with_chunk(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + PACKED) * 50),
        with_chunk(chunk(b"zTXt", b"Raw profile type xmp\0\0" + PACKED) * 50),
        b"\x89PNG\r\n\x1a\n" + bytes(20 << 20),  # two million chunks
        b"RIFF\0\0\0\0WEBP" + bytes(20 << 20),
        b"\xff\xd8" + b"\xff\xe1\0\2" * (5 << 20),
        b"\xff\xd8" + b"\xff" * (20 << 20),
        with_xmp("webp", b"<plus:DataMining " * (1 << 20)),
        with_xmp("webp", b"\n" * (8 << 20) + b"<OtherConstraints" + b" " * (8 << 20)),
        with_xmp("webp", b"<OtherConstraints>" + b"no " * (2 << 20)),
        with_xmp("webp", b"<" + b"a" * (8 << 20)),
        with_xmp("webp", b" plus:DataMining" + b" " * (8 << 20)),
    ],
    ids=range(12),
)
@pytest.mark.timeout(30)  # the slowest takes a hundredth of it; without limits some never end
def test_hostile_bytes_end_soon(body: bytes) -> None:
    assert data_mining(body) is None


def test_no_more_is_read_than_the_limit() -> None:
    assert data_mining(with_xmp("webp", b" " * MOST_BYTES + stated("DMI-PROHIBITED"))) is None


@given(st.sampled_from(KINDS), st.binary(max_size=400))
def test_whatever_the_bytes_it_answers(kind: str, rest: bytes) -> None:
    assert data_mining(STARTS[kind] + rest) is None


@given(st.sampled_from(KINDS), st.integers(0, 4000))
def test_however_short_the_file_it_answers(kind: str, length: int) -> None:
    assert data_mining(with_xmp(kind, stated("DMI-PROHIBITED"))[:length]) in (None, "DMI-PROHIBITED")
