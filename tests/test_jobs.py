"""Planning: whatever the state of a job, plans are fair, exact and never stuck."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.errors import UsageError
from pixcrawler.jobs import RUN_IMAGES, Funnel, Pair, fill, parse_keywords, parse_max_images, plan

pairs = st.lists(
    st.builds(
        Pair,
        source=st.sampled_from(["openverse", "urls", "met"]),
        keyword=st.sampled_from(["cat", "dog", "red panda", "owl"]),
        kept=st.integers(0, 900),
        outstanding=st.integers(0, 500),
        busy=st.booleans(),
        spent=st.booleans(),
    ).map(lambda p: p if p.busy else Pair(p.source, p.keyword, p.kept, 0, False, p.spent)),
    unique_by=lambda p: (p.source, p.keyword),
    min_size=1,
)


def planned(runs: list) -> int:
    return sum(sum(run.quotas.values()) for run in runs)


@given(st.integers(1, 10_000), pairs)
def test_never_promises_more_than_asked(asked, pairs):
    promised = sum(p.kept + p.outstanding for p in pairs)
    assert planned(plan(asked, pairs)) <= max(0, asked - promised)


@given(st.integers(1, 10_000), pairs)
def test_plans_only_idle_sources_that_have_more(asked, pairs):
    idle = {(p.source, p.keyword) for p in pairs if not p.busy and not p.spent}
    runs = plan(asked, pairs)
    used = [(run.source, keyword) for run in runs for keyword in run.quotas]
    assert set(used) <= idle
    assert len(used) == len(set(used))


@given(st.integers(1, 10_000), pairs)
def test_waits_only_for_busy_sources(asked, pairs):
    promised = sum(p.kept + p.outstanding for p in pairs)
    alive = [p for p in pairs if p.busy or not p.spent]
    if promised < asked and alive and not any(p.busy for p in pairs):
        assert plan(asked, pairs)


@given(st.integers(1, 10_000), pairs)
def test_runs_keep_their_size(asked, pairs):
    for run in plan(asked, pairs):
        assert 1 <= sum(run.quotas.values()) <= RUN_IMAGES[-1]
        assert all(quota >= 1 for quota in run.quotas.values())


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(0, 100_000))
def test_fill_pours_everything_and_levels(levels, amount):
    added = fill(levels, amount)
    assert sum(added) == amount
    assert all(n >= 0 for n in added)
    raised = [level + n for level, n in zip(levels, added, strict=True) if n]
    if raised:
        assert max(raised) - min(level + n for level, n in zip(levels, added, strict=True)) <= 1


@given(
    st.integers(1, 2_000),
    st.lists(st.integers(0, 300), min_size=1, max_size=4),
    st.integers(1, 3),
)
def test_a_job_ends_with_exactly_what_there_is(asked, stock, sources):
    """Runs that bring what their source has, until nothing is planned: min(asked, all there is) is kept."""
    have = {(f"s{s}", f"k{k}"): n for k, n in enumerate(stock) for s in range(sources)}
    kept = dict.fromkeys(have, 0)
    spent: set[tuple[str, str]] = set()
    for _ in range(1_000):
        state = [Pair(s, k, kept=kept[s, k], spent=(s, k) in spent) for s, k in have]
        runs = plan(asked, state)
        if not runs:
            break
        for run in runs:
            for keyword, quota in run.quotas.items():
                pair = (run.source, keyword)
                brought = min(quota, have[pair] - kept[pair])
                kept[pair] += brought
                if brought < quota:
                    spent.add(pair)
    assert sum(kept.values()) == min(asked, sum(have.values()))


def test_a_small_job_of_one_source_is_one_run():
    runs = plan(100, [Pair("openverse", word) for word in ("cat", "dog", "owl")])
    assert [dict(run.quotas) for run in runs] == [{"cat": 34, "dog": 33, "owl": 33}]


def test_a_short_source_is_made_up_by_the_other():
    state = [Pair("openverse", "cat", kept=10, spent=True), Pair("urls", "cat", kept=30)]
    assert [(run.source, dict(run.quotas)) for run in plan(60, state)] == [("urls", {"cat": 20})]


@pytest.mark.parametrize(
    ("value", "words"),
    [(["red  panda", "owl"], ["red panda", "owl"]), ({"keywords": ["owl"]}, ["owl"])],
)
def test_keywords_of_both_shapes(value, words):
    assert parse_keywords(value) == words


@pytest.mark.parametrize(
    "value",
    [None, 7, [], "owl", ["a"], ["x" * 101], [["owl"]], ["ow", "OW"], ["ow\0"], {"words": ["owl"]}, ["ow"] * 10_000],
)
def test_bad_keywords_are_one_clear_line(value):
    with pytest.raises(UsageError, match=r"^keywords: [^\n]+$"):
        parse_keywords(value)


@pytest.mark.parametrize("value", [0, -1, True, "5", None, 10**9])
def test_bad_max_images(value):
    with pytest.raises(UsageError, match=r"^max_images: "):
        parse_max_images(value)


def test_the_funnel_adds_up():
    funnel = Funnel.of([("kept", 3), ("damaged", 1), (None, 2)])
    assert funnel.found == funnel.kept + sum(funnel.reasons.values()) == 6
    assert list(funnel.reasons) == ["open", "damaged"]
