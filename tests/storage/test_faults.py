import errno

import pytest

from pixcrawler.errors import StorageFailed
from pixcrawler.storage.faults import explained


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/root/x"), "no space left on device: a/b"),
        (OSError(errno.EACCES, "Permission denied"), "permission denied: a/b"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "no such file: a/b"),
        (OSError("odd"), "odd: a/b"),
        (OSError(), "OSError: a/b"),
    ],
)
def test_a_system_error_becomes_one_line(error: OSError, line: str) -> None:
    with pytest.raises(StorageFailed) as caught, explained("a/b"):
        raise error
    assert str(caught.value) == line


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), explained("a/b"):
        raise ZeroDivisionError
