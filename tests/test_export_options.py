from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.errors import UsageError
from pixcrawler.export_options import Encode, ExportOptions
from pixcrawler.rights import Policy

WORDS = st.lists(st.text("abc ,ü", min_size=1).filter(str.strip), max_size=3)
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "max_side": st.integers(1, 10_000),
        "encode": st.sampled_from(list(Encode)),
        "strip_metadata": st.booleans(),
        "split": st.sampled_from(
            ["train=.8,val=.1,test=.1", {"train": 0.5, "validation": 0.5}, "test=.333,train=.667"]
        ),
        "rights": st.sampled_from(list(Policy)),
        "sources": WORDS,
        "keywords": WORDS,
        "ultra": st.sampled_from([True, False, "true"]),
        "seed": st.one_of(st.integers(0, 9), st.integers(0, 9).map(str)),
    },
)


@given(GIVEN)
def test_options_are_read_back_as_they_were_written(given: dict[str, Any]) -> None:
    options = ExportOptions.parse(given)
    assert ExportOptions.parse(options.to_json()) == options


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"encode": "keep", "seed": "0", "split": "", "max_side": None, "ultra": "false"}),
        ({"resize": "256x128"}, {"resize": [256, 128]}),
        ({"split": "train=.8,test=.2"}, {"split": {"train": 0.8, "test": "0.20"}}),
        ({"sources": "bing, flickr"}, {"sources": ["flickr", "bing", "bing"]}),
    ],
)
def test_what_means_the_same_is_written_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert ExportOptions.parse(one).to_json() == ExportOptions.parse(other).to_json()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"size": 1}, "unknown option of an export 'size'"),
        ({"resize": "256"}, "^resize: expected a size such as 512x512"),
        ({"resize": "0x5"}, "^resize: expected a number from 1"),
        ({"max_side": "big"}, "^max_side: expected a number"),
        ({"max_side": True}, "^max_side: "),
        ({"resize": "5x5", "max_side": 5}, "^max_side: not together with resize"),
        ({"encode": "png"}, "^encode: expected keep, jpeg, webp"),
        ({"strip_metadata": "yes"}, "^strip_metadata: expected true or false"),
        ({"split": "train"}, "^split: expected shares such as"),
        ({"split": "train=.8,test=.1"}, r"^split: expected shares that sum to 1, got 0\.9"),
        ({"split": "train=nan,test=1"}, "^split: expected shares from 0 to 1"),
        ({"split": "train=.5,train=.5"}, "^split: expected each of"),
        ({"split": "val=.5,validation=.5"}, "^split: expected each of"),
        ({"split": "holdout=1"}, "^split: expected each of train"),
        ({"rights": "free"}, "^rights: expected any"),
        ({"sources": [1]}, "^sources: expected words"),
        ({"keywords": "a,,b"}, "^keywords: expected words"),
        ({"seed": -1}, "^seed: expected a number from 0"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        ExportOptions.parse(given)
