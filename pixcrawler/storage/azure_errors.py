"""What Azure's SDK raises, in our words. None of them holds an address, a key or a signature."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)

from pixcrawler.errors import StorageFailed
from pixcrawler.storage.remote import Missing, Taken, shown
from pixcrawler.storage.retries import PASSING, Again, wanted_pause

# Damaged on the way, in the words of the service and of its emulator; blocks that another commit has swept.
PASSING_CODES = frozenset({"Md5Mismatch", "InvalidOperation", "InvalidBlockList"})


@contextmanager
def explained(subject: str) -> Iterator[None]:
    """Raises `Again` for what may pass, else `StorageFailed`: `Missing` for 404, `Taken` for 409 and 412."""
    try:
        yield
    except ResourceNotFoundError as error:
        raise Missing(f"no such {'container' if _code(error) == 'ContainerNotFound' else 'file'}: {subject}") from error
    except (ResourceExistsError, ResourceModifiedError) as error:
        raise Taken(f"the store refuses it: {shown(_code(error))}: {subject}") from error
    except ClientAuthenticationError as error:
        raise StorageFailed(f"the store refuses who we are: {subject}") from error
    except (ServiceRequestError, ServiceResponseError, IncompleteReadError, OSError) as error:  # OSError: of `requests`
        raise Again("the store could not be reached, or the connection broke") from error
    except HttpResponseError as error:
        raise _of_answer(error, subject) from error
    except AzureError as error:  # a hash that does not fit
        raise Again("bytes were damaged on the way") from error


def _of_answer(error: HttpResponseError, subject: str) -> Exception:
    if error.status_code in PASSING:
        return Again(f"the store answers {error.status_code}", wanted_pause(getattr(error.response, "headers", {})))
    if _code(error) in PASSING_CODES:
        return Again(f"the store refuses what it got: {_code(error)}")
    if error.status_code in (401, 403):
        return StorageFailed(f"the store refuses who we are: {subject}")
    return StorageFailed(f"the store refuses it: {shown(_code(error))}: {subject}")


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code))
