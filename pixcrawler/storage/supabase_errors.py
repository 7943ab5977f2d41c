"""What Supabase's storage client raises, in our words. None of them holds an address, a key or a signature."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from storage3.exceptions import StorageApiError

from pixcrawler.errors import StorageFailed
from pixcrawler.storage.remote import Missing, Taken, shown
from pixcrawler.storage.retries import PASSING, Again, wanted_pause


@contextmanager
def explained(subject: str) -> Iterator[None]:
    """Raises `Again` for what may pass, else `StorageFailed`: `Missing` for 404, `Taken` for 409."""
    try:
        yield
    except StorageApiError as error:
        raise _meant(str(error.status), error.code, subject) from error
    except httpx.HTTPStatusError as error:
        raise _meant(*_told(error.response), subject) from error
    except httpx.HTTPError as error:
        raise Again("the store could not be reached, or the connection broke") from error


def raise_if_busy(response: httpx.Response) -> None:
    """For the client's hooks, because its own errors have forgotten `Retry-After`."""
    if response.status_code in PASSING:
        raise Again(f"the store answers {response.status_code}", wanted_pause(response.headers))


def _told(response: httpx.Response) -> tuple[str, str]:
    """The status and code of an error, from its body if it has one."""
    try:
        told = response.json()
        return str(told["statusCode"]), str(told["error"])
    except (ValueError, KeyError, TypeError):
        return str(response.status_code), ""


def _meant(status: str, code: str, subject: str) -> Exception:
    """What an error means. Its own status counts, not that of the answer, which is 400 for most."""
    if status == "404":
        return Missing(f"no such {'bucket' if 'bucket' in code.lower() else 'file'}: {subject}")
    if status == "409":
        return Taken(f"the store refuses it: {shown(code or status)}: {subject}")
    if status.isdecimal() and int(status) in PASSING:
        return Again(f"the store answers {status}")
    if status in ("401", "403"):
        return StorageFailed(f"the store refuses who we are: {subject}")
    return StorageFailed(f"the store refuses it: {shown(code or status)}: {subject}")
