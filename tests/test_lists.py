"""Lists as people have them: every format, every wart seen in published lists, and files that are none."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.errors import UsageError
from pixcrawler.list_columns import Line
from pixcrawler.lists import read_lines

A, B, C = (f"https://images.example/{name}.jpg" for name in ("a", "b", "c"))
TEXT_KINDS = ("txt", "csv", "tsv", "jsonl")


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def lines(path: Path, **options: object) -> list[Line]:
    return [line for _, line in read_lines(path, **options)]


def urls(path: Path) -> list[str]:
    return [line.url for line in lines(path)]


def as_text(kind: str, rows: Sequence[tuple[str, str]]) -> str:
    if kind == "txt":
        return "".join(f"{url}\n" for url, _ in rows)
    if kind == "jsonl":
        return "".join(json.dumps({"url": url, "caption": caption}) + "\n" for url, caption in rows)
    if kind == "tsv":
        return "url\tcaption\n" + "".join(f"{url}\t{caption}\n" for url, caption in rows)
    out = io.StringIO()
    csv.writer(out).writerows([("url", "caption"), *rows])
    return out.getvalue()


def write_parquet(path: Path, rows: Sequence[tuple[str, str]], row_group_size: int = 7) -> None:
    table = pa.table({"URL": [url for url, _ in rows], "TEXT": [caption for _, caption in rows]})
    pq.write_table(table, path, row_group_size=row_group_size)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_every_text_format_says_the_same(listed, kind, suffix):
    rows = [(A, "a red panda"), (B, "two, of them"), (C, 'called "Firefox"')]
    path = listed(f"list.{kind}{suffix}", as_text(kind, rows))
    expected = [(url, None if kind == "txt" else caption) for url, caption in rows]
    assert [(line.url, line.caption) for line in lines(path)] == expected


def test_parquet_says_the_same(tmp_path):
    rows = [(A, "a red panda"), (B, "two, of them")]
    write_parquet(tmp_path / "list.parquet", rows)
    assert [(line.url, line.caption) for line in lines(tmp_path / "list.parquet")] == rows


@pytest.mark.parametrize("kind", [*TEXT_KINDS, "parquet"])
@pytest.mark.parametrize("start", [0, 1, 6, 7, 8, 24, 25, 26])
def test_a_crawl_goes_on_where_it_stopped(listed, tmp_path, kind, start):
    rows = [(f"https://images.example/{i}.jpg", f"number\n{i}" if kind == "csv" else f"number {i}") for i in range(25)]
    if kind == "parquet":
        write_parquet(path := tmp_path / "list.parquet", rows)
    else:
        path = listed(f"list.{kind}", as_text(kind, rows))
    rest = list(read_lines(path, start=start))
    assert [line.url for _, line in rest] == [url for url, _ in rows[start:]]
    assert [number for number, _ in rest] == list(range(start + 1, 26))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 999).map(lambda n: f"https://images.example/{n}.jpg"),
            st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30),
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 70),
)
def test_what_a_csv_writer_wrote_is_read_back(tmp_path_factory, rows, start):
    path = tmp_path_factory.mktemp("csv") / "list.csv"
    path.write_bytes(as_text("csv", rows).encode())
    nothing = ("", "null", "none", "nan", "\\n", "?")
    captions = [caption.strip() for _, caption in rows]
    expected = [(url, c if c.lower() not in nothing else None) for (url, _), c in zip(rows, captions, strict=True)]
    assert [(line.url, line.caption) for line in lines(path, start=start)] == expected[start:]


@given(st.binary(max_size=400), st.sampled_from(TEXT_KINDS))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, content, kind):
    path = tmp_path_factory.mktemp("any") / f"list.{kind}"
    path.write_bytes(f"{A}\n".encode() + content)
    try:
        said = json.dumps([(line.url, line.caption) for line in lines(path)], ensure_ascii=False)
    except UsageError as error:
        said = str(error)
    assert "\n" not in said
    assert "\0" not in said
    assert said.encode()


def test_columns_are_known_by_the_names_of_published_lists(listed):
    laion = "SAMPLE_ID,URL,TEXT,HEIGHT,WIDTH,LICENSE,NSFW\n1," + A + ",red panda,400,600,?,UNLIKELY\n"
    assert lines(listed("laion.csv", laion)) == [Line(A, caption="red panda", width=600, height=400)]
    open_images = "ImageID,OriginalURL,OriginalLandingURL,License,Author,Title\nx," + A + ",https://p.example,l,Ann,t\n"
    page = "https://p.example"
    assert lines(listed("oi.csv", open_images)) == [Line(A, "t", license="l", creator="Ann", page_url=page)]
    unsplash = f"photo_id\tphoto_image_url\tphoto_url\nq\t{A}\thttps://p.example\n"
    assert lines(listed("photos.tsv", unsplash)) == [Line(A, page_url="https://p.example")]
    labelled = f"Image URL,Class,Licence,Licence URL,Author\n{A},cat,by 4.0,https://l.example,Ann\n"
    expected = Line(A, keyword="cat", license="by 4.0", license_url="https://l.example", creator="Ann")
    assert lines(listed("labelled.csv", labelled)) == [expected]


def test_url_is_preferred_over_other_names_for_it(listed):
    assert urls(listed("list.csv", f"original_url,url\n{B},{A}\n")) == [A]


def test_columns_can_be_named(listed):
    path = listed("list.csv", f"Bild,Ursprung,url\n{A},Wien,{B}\n")
    assert lines(path, columns={"url": "bild", "caption": "Ursprung"}) == [Line(A, caption="Wien")]
    with pytest.raises(UsageError, match=r"list\.csv: no column 'Foto' among: Bild, Ursprung, url$"):
        lines(path, columns={"url": "Foto"})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cc12m.tsv", f"{A}\ta very typical bus station\n{B}\tinterior design\n"),
        ("cc3m.tsv", f"a very typical bus station\t{A}\ninterior design\t{B}\n"),
        ("numbered.csv", f"1,{A},a very typical bus station\n2,{B},interior design\n"),
    ],
)
def test_a_list_without_a_header_is_understood_by_its_content(listed, name, content):
    expected = [Line(A, caption="a very typical bus station"), Line(B, caption="interior design")]
    assert lines(listed(name, content)) == expected


def test_a_caption_may_be_called_like_a_column(listed):
    assert lines(listed("list.tsv", f"text\t{A}\nimage\t{B}\n")) == [Line(A, caption="text"), Line(B, caption="image")]


def test_blank_lines_and_comments_are_no_lines(listed):
    path = listed("list.txt", f"# pandas\n\n  \n{A}\n#{B}\n\t{C}  \n\n")
    assert list(read_lines(path)) == [(1, Line(A)), (2, Line(C))]
    assert urls(listed("list.csv", f"url,caption\n\n{A},x\n,\n  ,  \n{B},y\n")) == [A, B]
    assert urls(listed("list.tsv", f"{A}\tx\n\t\n\n{B}\ty")) == [A, B]
    assert urls(listed("list.jsonl", f'\n{{"url": "{A}"}}\n   \n"{B}"\n')) == [A, B]


def test_what_is_no_address_is_still_a_candidate(listed):
    assert urls(listed("list.txt", f"panda.jpg\n{A}\nhttp://[bad\n")) == ["panda.jpg", A, "http://[bad"]
    assert urls(listed("list.csv", f"url,caption\n,nothing\n{A},x\n")) == ["", A]
    bad_json = f'{{"url": "{A}"}}\n{{"url": "{B}"\n{{"caption": "none"}}\n{{"url": null}}\n[1]\n'
    assert urls(listed("list.jsonl", bad_json)) == [A, f'{{"url": "{B}"', "", "", "[1]"]


@pytest.mark.parametrize("caption", ["", "null", "NaN", "None", "\\N"])
def test_a_caption_that_says_nothing_is_none(listed, caption):
    assert lines(listed("list.tsv", f"url\tcaption\n{A}\t{caption}\n")) == [Line(A)]
    assert lines(listed("list.jsonl", json.dumps({"url": A, "caption": None}))) == [Line(A)]


def test_a_byte_order_mark_and_windows_line_ends(listed):
    for kind in TEXT_KINDS:
        content = b"\xef\xbb\xbf" + as_text(kind, [(A, "x"), (B, "y")]).replace("\n", "\r\n").encode()
        assert urls(listed(f"list.{kind}", content)) == [A, B], kind


def test_bytes_that_are_no_text_do_not_stop_the_reading(listed):
    latin = b"url\tcaption\n" + A.encode() + b"\tcaf\xe9\n" + B.encode() + b"\tNUL\0 inside\n"
    assert [line.caption for line in lines(listed("list.tsv", latin))] == ["caf\ufffd", "NUL inside"]
    surrogate = f'{{"url": "{A}", "caption": "half \\ud83d an emoji, \\u0000"}}'
    assert lines(listed("list.jsonl", surrogate)) == [Line(A, caption="half ? an emoji,")]


@pytest.mark.parametrize("stray", ['"', 'x"y', '"starts only', '"a" b', '5" disk'])
def test_a_stray_quote_costs_no_other_line(listed, stray):
    csv_list = f"url,caption\n{A},{stray}\n" + "".join(f"{B}?{i},line {i}\n" for i in range(200))
    assert urls(listed("list.csv", csv_list)) == [A, *(f"{B}?{i}" for i in range(200))]
    assert urls(listed("list.tsv", csv_list.replace(",", "\t"))) == [A, *(f"{B}?{i}" for i in range(200))]


def test_a_caption_may_have_line_breaks(listed):
    path = listed("list.csv", f'url,caption\n{A},"one\ntwo\n\nthree"\n{B},x\n')
    assert list(read_lines(path)) == [(1, Line(A, caption="one\ntwo\n\nthree")), (2, Line(B, caption="x"))]


def test_sizes_are_whole_positive_numbers_or_unknown(listed):
    content = "url,width,height\n" + "".join(f"{A},{w},1\n" for w in ("640", "640.0", "0", "-1", "wide", "inf", ""))
    widths = [line.width for line in lines(listed("list.csv", content))]
    assert widths == [640, 640, None, None, None, None, None]


def test_an_address_too_long_for_any_server_is_not_cut_into_another(listed):
    [long, short] = urls(listed("list.txt", f"{A}{'x' * 9000}\n{B}\n"))
    assert short == B
    assert len(long) < 200
    assert not long.startswith("http")


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_memory_stays_flat_over_a_long_line_and_a_long_list(tmp_path, kind):
    path = tmp_path / f"long.{kind}"
    with path.open("w") as file:
        file.write(as_text(kind, [(A, "first")]))
        file.writelines("x" * 1_000_000 for _ in range(40))
        file.write("\n")
        rows = as_text(kind, [(f"{B}?{i}", "many") for i in range(20_000)])
        file.write(rows.removeprefix(as_text(kind, []).replace("\r", "")))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_lines(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 20_000 - 10
    assert peak < 16e6, f"{peak / 1e6:.0f} MB for a list of {path.stat().st_size / 1e6:.0f} MB"


def test_parquet_cells_of_every_kind(tmp_path):
    latin = pa.array([b"caf\xe9", None, b"ok"])
    table = pa.table(
        {
            "url": pa.array([A, None, B]),
            "caption": pa.StringArray.from_buffers(3, *latin.buffers()[1:], null_bitmap=latin.buffers()[0]),
            "label": pa.array(["cat", None, "cat"]).dictionary_encode(),
            "width": pa.array([640.0, float("nan"), None]),
            "face_bboxes": pa.array([[1.0], None, []]),
        }
    )
    pq.write_table(table, tmp_path / "list.parquet")
    assert lines(tmp_path / "list.parquet") == [
        Line(A, caption="caf\ufffd", keyword="cat", width=640),
        Line(""),
        Line(B, caption="ok", keyword="cat"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.txt", b"", "the list is empty"),
        ("list.txt", b"\n\n \n", "the list is empty"),
        ("list.csv.gz", b"", "the list is empty"),
        ("list.csv", b"url,caption\n", "not a list: no address at its beginning"),
        ("list.txt", b"# nothing\n", "not a list: no address at its beginning"),
        ("list.txt", b"Dear reader,\nthis is a letter.\n", "not a list: no address at its beginning"),
        (
            "list.txt",
            b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20 + b"http://x.example",
            "not a list but a binary file",
        ),
        ("list.csv", b"\n<!DOCTYPE html><a href='https://x.example'>", "not a list but a web page"),
        ("list.csv", b"name,link\npanda,see https://x.example\n", "no column of addresses among: name, link"),
        ("list.jsonl", b'{"link": "https://x.example"}\n', "no column of addresses among: link"),
        ("list.parquet", b"url\nhttps://x.example\n", "not a parquet file that can be read: "),
        ("list.parquet", b"", "not a parquet file that can be read: "),
        ("panda.jpg", b"https://x.example", "not a list; lists are .txt, .csv, .tsv, .jsonl (also .gz) and .parquet"),
        ("list.parquet.gz", b"", "not a list; lists are .txt, .csv, .tsv, .jsonl (also .gz) and .parquet"),
        ("list", b"https://x.example", "not a list; lists are .txt, .csv, .tsv, .jsonl (also .gz) and .parquet"),
    ],
)
def test_a_file_that_is_no_list_is_refused_in_one_line(listed, name, content, message):
    path = listed(name, content)
    with pytest.raises(UsageError) as caught:
        lines(path)
    assert str(caught.value).startswith(f"{name}: {message}")
    assert "\n" not in str(caught.value)


def test_a_list_that_is_not_there_or_a_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.txt: no such file"):
        lines(tmp_path / "gone.txt")
    with pytest.raises(UsageError, match="is a folder, not a list"):
        lines(tmp_path)


def test_a_damaged_archive_is_refused_after_its_good_lines(tmp_path):
    whole = gzip.compress("".join(f"{A}?{i * 7919 % 100_003}\n" for i in range(50_000)).encode())
    path = tmp_path / "list.txt.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"list\.txt\.gz: cannot be read: Compressed file ended"):
        lines(path)
    path.write_bytes(b"https://x.example\n")
    with pytest.raises(UsageError, match=r"list\.txt\.gz: cannot be read: Not a gzipped file"):
        lines(path)


def test_an_empty_parquet_is_empty_and_one_without_addresses_is_refused(tmp_path):
    path = tmp_path / "list.parquet"
    pq.write_table(pa.table({"url": pa.array([], pa.string())}), path)
    with pytest.raises(UsageError, match="the list is empty"):
        lines(path)
    pq.write_table(pa.table({"link": [A]}), path)
    with pytest.raises(UsageError, match="no column of addresses among: link"):
        lines(path)
