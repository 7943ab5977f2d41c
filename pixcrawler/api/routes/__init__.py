"""One file per subject. A route checks what it was given, asks `db/`, and says no if it must."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from pixcrawler.api.problems import Code, described

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]

# What may become of any request, and what of any that needs a login.
ALWAYS = (Code.WRONG_HOST, Code.UNAVAILABLE)
BEHIND_THE_GATE = (
    *(Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.FOREIGN_ORIGIN, Code.RATE_LIMITED, Code.INVALID, Code.MALFORMED),
    *(Code.TOO_LARGE, *ALWAYS),
)


def router(path: str, tag: str) -> APIRouter:
    """A router for routes behind the gate."""
    return APIRouter(prefix=f"/api/v1/{path}", tags=[tag], responses=described(*BEHIND_THE_GATE))


def also(*codes: Code) -> dict[str, Any]:
    """For a route: `@routes.get("/{id}", **also(Code.NOT_FOUND))`."""
    return {"responses": described(*codes)}
