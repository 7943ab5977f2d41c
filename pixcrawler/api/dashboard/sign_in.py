"""Signing in with an access token or an API key, and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pixcrawler.api.dashboard.pages import back_to, page
from pixcrawler.api.dashboard.visitors import SESSION, Fields, remember
from pixcrawler.api.gate import admit
from pixcrawler.api.problems import Code, Refused
from pixcrawler.owners.keys import Scope

COOKIE_BYTES = 4000  # browsers drop larger ones without a word

routes = APIRouter(include_in_schema=False)

Next = Annotated[str, Query(max_length=2000)]


@routes.get("/sign-in")
async def form(request: Request, next: Next = "/") -> Response:  # noqa: A002 the parameter's name
    """The form; who needs none is led on."""
    try:
        await admit(request, request.cookies.get(SESSION) or None, Scope.READ)
    except Refused as refusal:
        if refusal.code is not Code.UNAUTHENTICATED:
            raise
        return page(request, "sign_in.html", next=next, wrong=None)
    return back_to(_here(next))


@routes.post("/sign-in")
async def sign_in(request: Request, said: Fields) -> Response:
    """Keeps what opens the gate, in a cookie."""
    credentials, wanted = str(said.get("credentials", "")).strip(), str(said.get("next", "/"))
    try:
        if not credentials.isascii() or len(credentials) > COOKIE_BYTES:
            raise Refused(Code.UNAUTHENTICATED, f"at most {COOKIE_BYTES:,} characters, and none but those of a token")
        await admit(request, credentials or None, Scope.READ)
    except Refused as refusal:
        if refusal.code is not Code.UNAUTHENTICATED:
            raise
        return page(request, "sign_in.html", 422, next=wanted, wrong=str(refusal))
    response = back_to(_here(wanted))
    remember(request, response, SESSION, credentials)
    return response


@routes.post("/sign-out")
async def sign_out(said: Fields) -> Response:
    """Forgets it."""
    response = back_to("/sign-in")
    response.delete_cookie(SESSION)
    return response


def _here(path: str) -> str:
    """A page of ours, whatever the address says."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if ours else "/"
