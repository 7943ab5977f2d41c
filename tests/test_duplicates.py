from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pixcrawler.duplicates import Index, to_signed, to_unsigned
from pixcrawler.jobs import Reason

PHASHES = st.integers(0, 2**64 - 1)
NEARBY = st.sets(st.integers(0, 63), max_size=8).map(lambda flips: sum(1 << bit for bit in flips))
PICTURES = st.tuples(st.text("ab", max_size=4), st.none() | NEARBY | PHASHES)


@settings(deadline=None)
@given(st.lists(PICTURES), PICTURES, st.integers(0, 16))
def test_finds_what_comparing_with_every_picture_finds(
    known: list[tuple[str, int | None]], asked: tuple[str, int | None], bits: int
) -> None:
    index = Index()
    for sha256, phash in known:
        index.add(sha256, phash)

    expected = None
    if any(phash is not None and asked[1] is not None and (phash ^ asked[1]).bit_count() <= bits for _, phash in known):
        expected = Reason.NEAR_DUPLICATE
    if asked[0] in {sha256 for sha256, _ in known}:
        expected = Reason.DUPLICATE_BYTES
    assert index.find(*asked, bits) is expected
    assert len(index) == len({sha256 for sha256, _ in known})


def test_forgets_nothing_while_it_grows() -> None:
    index = Index()
    for number in range(5000):
        index.add(str(number), number << 32)

    assert len(index) == 5000
    assert all(index.find("new", number << 32, 0) is Reason.NEAR_DUPLICATE for number in range(0, 5000, 7))
    assert index.find("new", 5000 << 32, 0) is None


def test_an_empty_index_finds_nothing() -> None:
    assert Index().find("a", 0, 64) is None


@settings(deadline=None)
@given(PHASHES)
def test_a_bigint_column_holds_every_hash(phash: int) -> None:
    assert -(2**63) <= to_signed(phash) < 2**63
    assert to_unsigned(to_signed(phash)) == phash
