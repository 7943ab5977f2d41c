"""Errors: problem details (RFC 9457) with a code that stays the same; who looks at pages gets one that says so."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from pixcrawler.db.patience import is_passing
from pixcrawler.errors import DatabaseUnavailable, PixCrawlerError, StorageFailed, UsageError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
OVERTAKEN = {"23503", "23505"}  # a row that is gone, or there already, although we had just looked
PARAMETER = re.compile(r"\{\w+\}")
SHOWN = 200  # characters of what was given; who sent more knows the rest


class Code(StrEnum):
    """What went wrong, for programs."""

    MALFORMED = "malformed"  # not HTTP or JSON as it should be
    INVALID = "invalid"  # well-formed, and not possible
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"  # the key's permissions do not reach so far
    LINK_REFUSED = "link_refused"  # over, or not ours
    FOREIGN_ORIGIN = "foreign_origin"  # a page of somebody else's site asked
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"  # not as things are now
    REUSED_KEY = "reused_idempotency_key"
    TOO_LARGE = "too_large"
    RANGE = "range_not_satisfiable"
    WRONG_HOST = "wrong_host"
    RATE_LIMITED = "rate_limited"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"  # the database, the storage, or time; try again


STATUS = {
    Code.MALFORMED: HTTPStatus.BAD_REQUEST,
    Code.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Code.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.LINK_REFUSED: HTTPStatus.FORBIDDEN,
    Code.FOREIGN_ORIGIN: HTTPStatus.FORBIDDEN,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    Code.CONFLICT: HTTPStatus.CONFLICT,
    Code.REUSED_KEY: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.RANGE: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    Code.WRONG_HOST: HTTPStatus.MISDIRECTED_REQUEST,
    Code.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
OF_STATUS = {status: code for code, status in reversed(STATUS.items())}


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    where: str
    message: str


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: Code
    errors: list[Wrong] = []


ShowProblem = Callable[[HTTPConnection, Problem, dict[str, str]], Response]  # the last are headers


class Refused(PixCrawlerError):
    """Raised where a request is answered with a problem."""

    def __init__(self, code: Code, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.headers = dict(headers or {})


def not_found() -> Refused:
    """The same of what is not there and of what is somebody else's."""
    return Refused(Code.NOT_FOUND, "there is no such thing, or it is not yours")


@contextmanager
def in_conflict(kind: type[PixCrawlerError]) -> Iterator[None]:
    """Says no with a conflict to what raises an error of this kind."""
    try:
        yield
    except kind as error:
        raise Refused(Code.CONFLICT, str(error)) from None


def answer(
    asker: HTTPConnection,
    code: Code,
    detail: str,
    errors: Sequence[Wrong] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem as a response to who asks."""
    status = STATUS[code]
    problem = Problem(
        type=f"urn:pixcrawler:problem:{code}",
        title=status.phrase,
        status=status,
        detail=detail,
        code=code,
        errors=list(errors),
    )
    if _looks_at_pages(asker):
        show: ShowProblem = asker.app.state.show_problem
        return show(asker, problem, dict(headers or {}))
    body = json.dumps(problem.model_dump(exclude_defaults=True), ensure_ascii=True)  # no encoding can fail
    return Response(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def _looks_at_pages(asker: HTTPConnection) -> bool:
    return "text/html" in asker.headers.get("accept", "") and not asker.scope["path"].startswith("/api/")


def described(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """For a route's documentation: the problems it may answer with."""
    by_status: dict[int, list[Code]] = {}
    for code in codes:
        by_status.setdefault(STATUS[code], []).append(code)
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": ", ".join(f"`{code}`" for code in those), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, those in by_status.items()
    }


def handle(app: FastAPI, show: ShowProblem) -> None:
    """Turns everything that is raised while a request is answered into a problem; `show` makes a page of one."""
    app.state.show_problem = show
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UsageError, _wrong_use)
    app.add_exception_handler(DatabaseUnavailable, _away)
    app.add_exception_handler(StorageFailed, _away)
    app.add_exception_handler(DBAPIError, _failed_statement)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return answer(request, error.code, str(error), headers=error.headers)


async def _wrong_use(request: Request, error: Exception) -> Response:
    return answer(request, Code.INVALID, str(error))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [Wrong(where=".".join(map(str, e["loc"]))[:SHOWN], message=e["msg"][:SHOWN]) for e in error.errors()]
    if any(e["type"] == "json_invalid" for e in error.errors()):
        return answer(request, Code.MALFORMED, "the body is no JSON", found)
    return answer(request, Code.INVALID, "; ".join(f"{wrong.where}: {wrong.message}" for wrong in found[:3]), found)


async def _away(request: Request, error: Exception) -> Response:
    logger.warning("%s", error)
    what = "storage" if isinstance(error, StorageFailed) else "database"
    return answer(request, Code.UNAVAILABLE, f"the {what} cannot be used at the moment", headers={"Retry-After": "5"})


async def _failed_statement(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)
    if getattr(error.orig, "sqlstate", None) in OVERTAKEN:
        return answer(request, Code.CONFLICT, "somebody else has changed this meanwhile")
    if not is_passing(error):
        raise error
    return await _away(request, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = OF_STATUS.get(HTTPStatus(error.status_code), Code.MALFORMED)
    detail = not_found().args[0] if code is Code.NOT_FOUND else str(error.detail)
    methods = _methods(request) if code is Code.METHOD_NOT_ALLOWED else []
    allow = {"Allow": ", ".join(methods)} if methods else {}
    return answer(request, code, detail, headers={**(error.headers or {}), **allow})


def _methods(request: Request) -> list[str]:
    """All that the API does at a path, which several routes may share."""
    document = request.app.openapi()["paths"]
    here = [path for path in document if re.fullmatch(PARAMETER.sub("[^/]+", path), request.url.path)]
    return sorted({method.upper() for path in here for method in document[path]})


async def _unexpected(request: Request, error: Exception) -> Response:
    return answer(request, Code.INTERNAL, "something went wrong here; the log says what")
