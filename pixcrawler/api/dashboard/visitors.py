"""Who looks at pages: whoever the gate lets in, with what was given at the sign-in; and which forms are ours."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request, Response
from starlette.datastructures import FormData
from starlette.requests import HTTPConnection

from pixcrawler.api.addresses import host_of
from pixcrawler.api.gate import Caller, admit
from pixcrawler.api.guard import HARMLESS
from pixcrawler.api.problems import Code, Refused
from pixcrawler.config import is_here
from pixcrawler.owners.keys import Scope

SESSION = "pixcrawler_session"  # the cookie that holds the access token or API key
FORM_TOKEN = "pixcrawler_form"  # noqa: S105  # the cookie, and the field in every form that must be the same
TOKEN_BYTES = 32
FIELDS = 200  # a form has fewer; the longest asks for a job


def new_token() -> str:
    """For `FORM_TOKEN`."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def remember(request: HTTPConnection, response: Response, name: str, value: str) -> None:
    """Sets a cookie that no script reads and no other site's page sends, until the browser is closed."""
    elsewhere = not is_here(host_of(request.headers.get("host", "")))
    response.set_cookie(name, value, httponly=True, samesite="strict", secure=elsewhere)


async def fields(request: Request) -> AsyncIterator[FormData]:
    """What a form says. Raises `Refused` for one that no page of ours has sent."""
    async with request.form(max_files=1, max_fields=FIELDS) as form:
        given, kept = form.get(FORM_TOKEN), request.cookies.get(FORM_TOKEN)
        if not kept or not isinstance(given, str) or not hmac.compare_digest(given.encode(), kept.encode()):
            raise Refused(Code.FOREIGN_ORIGIN, "this form is not from here, or too old: open its page again")
        yield form


Fields = Annotated[FormData, Depends(fields)]


def _visiting(scope: Scope) -> Callable[..., AsyncIterator[Caller]]:
    async def visitor(request: Request) -> AsyncIterator[Caller]:
        caller = await admit(request, request.cookies.get(SESSION) or None, scope)
        request.state.caller = caller
        if request.method in HARMLESS:
            yield caller
            return
        async with asynccontextmanager(fields)(request):  # whoever changes something comes from a form
            yield caller

    return visitor


Visitor = Annotated[Caller, Depends(_visiting(Scope.READ))]
Editor = Annotated[Caller, Depends(_visiting(Scope.WRITE))]
Keeper = Annotated[Caller, Depends(_visiting(Scope.ADMIN))]
