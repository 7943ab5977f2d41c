import math
import pickle
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from pixcrawler import answers, imaging
from pixcrawler.errors import LeaseLost, NotAnImage
from pixcrawler.items import Inspection, Looks
from pixcrawler.jobs import Reason
from tests.pictures import animation, encoded, photo

BODY = encoded(photo(1))
HONEST = imaging.look_into(BODY)
assert HONEST.looks is not None
assert HONEST.figures is not None

HONEST_BODIES = {
    **{kind: encoded(photo(), kind) for kind in ("jpeg", "png", "webp", "gif")},
    "animation": animation("gif", 3),
    "flat": encoded(Image.new("RGB", (64, 64), "red")),
    "with more behind it": BODY + b"PK\3\4" + bytes(100),
    "tiny": encoded(Image.new("L", (1, 1))),
}

LIES: dict[str, Any] = {
    "a path for its format": replace(HONEST, format="../x"),
    "no width": replace(HONEST, width=0),
    "a width that no database takes": replace(HONEST, width=2**31),
    "a text for its height": replace(HONEST, height="768"),  # type: ignore[arg-type]
    "an endless hash": replace(HONEST, phash=2**64),
    "a hash below zero": replace(HONEST, phash=-1),
    "a word without end": replace(HONEST, data_mining="DMI-PROHIBITED" * 1000),
    "a zero byte in a word": replace(HONEST, trailing_data="archive\0"),
    "a sharpness that is no number": replace(HONEST, figures=HONEST.figures._replace(sharpness=math.nan)),
    "codes cut short": replace(HONEST, looks=HONEST.looks._replace(codes=HONEST.looks.codes[:-1])),
    "codes of many views": replace(HONEST, looks=HONEST.looks._replace(codes=HONEST.looks.codes * 9)),
    "a fingerprint cut short": replace(HONEST, looks=HONEST.looks._replace(fingerprint=b"")),
    "codes that are no bytes": replace(HONEST, looks=Looks([0] * 80, HONEST.looks.fingerprint)),  # type: ignore[arg-type]
    "nothing": None,
    "something else": HONEST.looks,
    "a class": Inspection,
    "an empty one": object.__new__(Inspection),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_a_picture_is_no_answer(lie: str) -> None:
    with pytest.raises(answers.Foreign):
        answers.checked(LIES[lie])


def test_what_a_worker_says_of_the_bytes_is_not_even_heard() -> None:
    lie = replace(HONEST, sha256="../" * 20 + "etc", size=HONEST.size + 1)
    assert imaging.hashed(answers.checked(lie), BODY) == imaging.inspect(BODY)


@pytest.mark.parametrize("kind", HONEST_BODIES)
def test_what_is_true_of_a_picture_is_an_answer(kind: str) -> None:
    body = HONEST_BODIES[kind]
    found = imaging.look_into(body)
    assert answers.checked(answers.unpacked(pickle.dumps((True, found)))[1]) == found


@pytest.mark.parametrize(
    "raised",
    [
        LeaseLost("give up"),
        NotAnImage("kept", "as if it had been decided"),
        NotAnImage(Reason.BOMB, 7),  # type: ignore[arg-type]
        NotAnImage.__new__(NotAnImage),
        "a text",
        SystemExit(0),
        pickle.PicklingError(),
    ],
    ids=repr,
)
def test_nothing_is_raised_that_means_something_to_the_crawl(raised: object) -> None:
    with pytest.raises(answers.Foreign):
        answers.unpacked(pickle.dumps((False, raised)))


@pytest.mark.parametrize("raised", [NotAnImage(Reason.DAMAGED, "broken"), ZeroDivisionError("a bug"), MemoryError()])
def test_what_honest_workers_raise_is_raised(raised: Exception) -> None:
    done, found = answers.unpacked(pickle.dumps((False, raised)))
    assert not done
    assert type(found) is type(raised)
    assert str(found) == str(raised)
