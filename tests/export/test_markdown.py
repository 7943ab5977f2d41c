from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pixcrawler.export.formats import Built
from pixcrawler.export.markdown import cell, escaped, link, one_line, table

ANY_TEXT = st.text(st.characters(), max_size=80)  # lone surrogates too
NASTY = st.one_of(ANY_TEXT, st.text("ab *_`[]()<>|~&$!#\\:/.;-+\n1w=@", max_size=30))
RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def inline(markdown: str) -> list[Token]:
    return [t for token in RENDERER.parse(markdown) if token.type == "inline" for t in token.children or []]


def blocks(markdown: str) -> list[str]:
    return [token.type for token in RENDERER.parse(markdown)]


@given(NASTY)
def test_markdown_shows_a_text_as_it_is(text: str) -> None:
    tokens = inline(f"- x: {escaped(text)}")
    assert {token.type for token in tokens} <= {"text", "text_special"}
    assert "".join(token.content for token in tokens) == f"x: {one_line(text)}".rstrip()


@given(st.lists(st.tuples(NASTY, NASTY), min_size=1, max_size=4))
def test_no_text_breaks_a_table(rows: list[tuple[str, str]]) -> None:
    markdown = table(("a", "b"), [(escaped(left), escaped(right)) for left, right in rows])
    assert blocks(markdown).count("table_open") == 1
    assert blocks(markdown)[-1] == "table_close"
    cells = [
        "".join(t.content for t in token.children or [])
        for token in RENDERER.parse(markdown)
        if token.children is not None
    ]
    assert cells == ["a", "b", *(one_line(text) for row in rows for text in row)]


@given(st.one_of(NASTY, NASTY.map(lambda path: f"https://a.example/{path}")))
def test_a_link_leads_where_it_says_or_is_no_link(url: str) -> None:
    tokens = inline(f"x {link(url)} y")
    assert "html_inline" not in {token.type for token in tokens}
    for token in tokens:
        if token.type == "link_open":
            assert str(token.attrs["href"]).lower().startswith(("http://", "https://"))
    assert blocks(f"| a |\n| --- |\n| {link(url)} |\n").count("td_open") == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/b?c=1&d=(2)", "<https://a.example/b?c=1&d=(2)>"),
        ("https://a.example/a b|c>d`é", "<https://a.example/a%20b%7Cc%3Ed%60%C3%A9>"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("", ""),
    ],
)
def test_only_web_addresses_become_links(url: str, shown: str) -> None:
    assert link(url) == shown


def test_bare_addresses_are_not_made_clickable() -> None:
    assert escaped("see https://evil.example, www.evil.example") == r"see https\://evil.example, www\.evil.example"


def test_a_long_text_is_cut() -> None:
    assert escaped("a" * 400, 10) == "a" * 9 + "…"


@given(ANY_TEXT)
def test_one_line_is_one_line_everywhere(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line.encode().decode() == line == one_line(line)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r\n=1", "＝1", " =1"])
def test_a_spreadsheet_sees_no_formula(text: str) -> None:
    assert cell(text).startswith("'")


def test_the_hostile_owner_adds_nothing_to_a_finished_dataset(make: Any, built: tuple[Path, Built]) -> None:
    with ZipFile(built[0]) as archive:
        attribution = archive.read("ATTRIBUTION.md").decode()
        card = archive.read("README.md").decode().split("\n---\n", 1)[1]
    for document in (attribution, card):
        assert not {"html_inline", "html_block"} & ({t.type for t in inline(document)} | set(blocks(document)))
        links = [str(token.attrs["href"]) for token in inline(document) if token.type == "link_open"]
        assert all(href.startswith(("https://creativecommons.org/", "https://pages.example/")) for href in links)
    assert blocks(attribution).count("list_item_open") == 12
    assert one_line(make.hostile) in "".join(token.content for token in inline(attribution))
