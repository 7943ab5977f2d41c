from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.export.splits import assign

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
PICTURES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 25).map(str)), min_size=1, max_size=60)


@given(PICTURES, st.integers(0, 3), st.randoms(use_true_random=False))
def test_groups_stay_whole_whatever_the_order(pictures: list[tuple[str, str]], seed: int, random: Random) -> None:
    splits = dict(zip((group for _, group in pictures), assign(pictures, SHARES, seed), strict=True))
    shuffled = random.sample(pictures, len(pictures))
    assert assign(shuffled, SHARES, seed) == [splits[group] for _, group in shuffled]


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1), st.integers(0, 3))
def test_every_keyword_is_divided_by_the_shares(sizes: dict[str, int], seed: int) -> None:
    pictures = [(keyword, f"{keyword}{number}") for keyword, size in sizes.items() for number in range(size)]
    splits = assign(pictures, SHARES, seed)
    by_keyword = Counter((keyword, split) for (keyword, _), split in zip(pictures, splits, strict=True))
    total = Counter(splits)
    for split, share in SHARES.items():
        assert abs(total[split] - share * len(pictures)) < 2
        for keyword, size in sizes.items():
            assert abs(by_keyword[keyword, split] - share * size) < 3


def test_another_seed_is_another_split() -> None:
    pictures = [("a", str(number)) for number in range(100)]
    assert assign(pictures, SHARES, 1) == assign(pictures, SHARES, 1) != assign(pictures, SHARES, 2)
