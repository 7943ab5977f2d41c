from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.errors import StorageFailed
from pixcrawler.storage.keys import KEY, checked_key, checked_prefix

HOSTILE = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "a/../b",
    "../a",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "a\\..\\b",
    "C:a",
    "a\0b",
    "a\nb",
    "a\n",
    "a b",
    "é",
    ".unfinished/x",
    "a/.hidden",
    "name.",
    "x" * 256,
    "/".join(["abcdefg"] * 200),
    "\ud800",
]


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_that_could_leave_the_root_is_refused_in_one_line(key: str) -> None:
    with pytest.raises(StorageFailed, match=r"^not a storage key: [ -~]*$") as caught:
        checked_key(key)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "key", ["a", "jobs/7/images/ab/" + "0" * 64 + ".jpg", "jobs/7/exports/1/dataset.zip", "x" * 255]
)
def test_our_own_keys_pass(key: str) -> None:
    assert checked_key(key) == key


@pytest.mark.parametrize("prefix", ["", "jobs/", "jobs/7", "jobs/7/images/ab/", "dataset."])
def test_a_prefix_may_end_anywhere(prefix: str) -> None:
    assert checked_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["/", "..", "a/../", "a//", ".", "a\\", "*"])
def test_a_prefix_stays_below_the_root(prefix: str) -> None:
    with pytest.raises(StorageFailed, match="not a prefix"):
        checked_prefix(prefix)


@given(st.from_regex(KEY, fullmatch=True))
def test_every_key_is_one_relative_path_on_every_system(key: str) -> None:
    assert str(PurePosixPath(key)) == key
    assert ".." not in PurePosixPath(key).parts
    assert PureWindowsPath(key).as_posix() == key
    assert not PureWindowsPath(key).is_absolute()
    assert not PureWindowsPath(key).drive


@given(st.from_regex(KEY, fullmatch=True), st.data())
def test_every_beginning_of_a_key_is_a_prefix_or_ends_in_its_own_punctuation(key: str, data: st.DataObject) -> None:
    prefix = key[: data.draw(st.integers(0, min(len(key), 1024)))]
    assert checked_prefix(prefix) == prefix
