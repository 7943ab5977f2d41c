import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.naming import keyword_slug, keyword_slugs, member_name

MEMBER = re.compile(r"[a-z0-9][a-z0-9_-]*/[0-9]{6,}_[0-9a-f]{12}\.(jpg|png|webp|gif)")
ANY_TEXT = st.text(st.characters(), max_size=120)  # lone surrogates too
TRICKY = st.one_of(
    ANY_TEXT,
    st.sampled_from(["red panda", "Red Panda", "red-panda", "red_panda", "red  panda", "réd panda", "train", "trains"]),
    st.text("aA-_ ./\\é", max_size=6),
)


@pytest.mark.parametrize(
    ("keyword", "slug"),
    [
        ("red panda", "red_panda"),
        ("Red  Panda ", "red_panda"),
        ("t-shirt", "t-shirt"),
        ("f16", "f16"),
    ],
)
def test_a_plain_keyword_reads_like_itself(keyword: str, slug: str) -> None:
    assert keyword_slug(keyword) == slug


@pytest.mark.parametrize(
    "keyword", ["猫", "../../etc/passwd", "/abs", "C:\\x", "-rf", "", " ", "..", "nul", "COM1", "é", "a\0b", "\ud800"]
)
def test_what_the_letters_cannot_say_is_said_by_a_hash(keyword: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*__[0-9a-f]{8}", keyword_slug(keyword))


@pytest.mark.parametrize("keyword", ["train", "Steam Train", "test-tube", "val d'isère", "dev", "eval2", "x 1test"])
def test_no_folder_looks_like_a_split(keyword: str) -> None:
    assert not re.search(
        r"(^|[-._ 0-9])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)($|[-._ 0-9])",
        keyword_slug(keyword),
    )


@given(st.lists(TRICKY, max_size=12))
def test_slugs_are_safe_and_different(keywords: list[str]) -> None:
    slugs = keyword_slugs(keywords)
    assert set(slugs) == set(keywords)
    assert len(set(slugs.values())) == len(slugs)
    for slug in slugs.values():
        assert MEMBER.fullmatch(member_name(slug, 1, "ab" * 32, "jpg"))
        assert len(slug) < 130


@given(st.lists(TRICKY.map(str.casefold), max_size=12, unique_by=lambda k: " ".join(k.lower().split())))
def test_a_slug_does_not_depend_on_the_other_keywords(keywords: list[str]) -> None:
    assert keyword_slugs(keywords) == {keyword: keyword_slug(keyword) for keyword in keywords}


def test_a_member_name_has_number_and_hash() -> None:
    assert member_name("cat", 7, "0123456789abcdef" * 4, "png") == "cat/000007_0123456789ab.png"
    assert member_name("cat", 1_234_567, "ab" * 32, "jpg") == "cat/1234567_abababababab.jpg"
