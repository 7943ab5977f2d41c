"""The pictures a job has kept, and what is known of each."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from pixcrawler.api.dashboard.job import top_of
from pixcrawler.api.dashboard.pages import page
from pixcrawler.api.dashboard.visitors import SESSION, Visitor
from pixcrawler.api.gate import admit
from pixcrawler.api.paging import Cursor
from pixcrawler.api.problems import not_found
from pixcrawler.api.routes import Number, jobs, results
from pixcrawler.api.state import Api, Plain, State
from pixcrawler.api.thumbnails import Size
from pixcrawler.db import images
from pixcrawler.db.images import Image
from pixcrawler.errors import NotAnImage
from pixcrawler.export.attribution import conditions
from pixcrawler.owners.keys import Scope
from pixcrawler.rights import normalise

SHOWN = 60  # a page: twelve rows on a large screen
LINK_SECONDS = 3600

routes = APIRouter(include_in_schema=False)

Chosen = Annotated[Plain, Query(max_length=200)]


@routes.get("/jobs/{job}/pictures")
async def list_(
    request: Request,
    api: Api,
    visitor: Visitor,
    job: Number,
    cursor: Cursor = None,
    source: Chosen = "",
    keyword: Chosen = "",
    license_id: Chosen = "",
) -> Response:
    """The newest first, all or those of a source, keyword and licence."""
    chosen = {"source": source, "keyword": keyword, "license_id": license_id}
    wanted = {name: value for name, value in chosen.items() if value}
    top = await top_of(api, visitor, job)
    found = await results.kept(api, visitor, job, cursor, SHOWN, **wanted)
    async with api.transaction() as connection:
        counts = await images.counts(connection, job)
    return page(
        request,
        "pictures.html",
        **top,
        pictures=found.items,
        next_cursor=found.next_cursor,
        chosen=chosen,
        counts=counts,
        here_chosen=f"/jobs/{job}/pictures" + (f"?{urlencode(wanted)}" if wanted else ""),
        licence=normalise,
    )


@routes.get("/jobs/{job}/pictures/{picture}")
async def show(request: Request, api: Api, visitor: Visitor, job: Number, picture: Number) -> Response:
    """A picture, where it is from and whose it is."""
    top = await top_of(api, visitor, job)
    async with api.transaction() as connection:
        image = await images.one(connection, job, picture)
    if image is None:
        raise not_found()
    licence = normalise(image.license_id)
    return page(request, "picture.html", **top, picture=image, licence=licence, conditions=conditions(licence))


@routes.get("/jobs/{job}/pictures/{picture}/{size}")
async def look(
    request: Request, api: Api, job: Number, picture: Number, size: Literal["small", "large", "original"]
) -> Response:
    """The picture itself: small, large, or a link to its file."""
    caller = await admit(request, request.cookies.get(SESSION) or None, Scope.READ, again=True)
    async with api.transaction() as connection:
        await jobs.require(connection, job, caller)
        image = await images.one(connection, job, picture)
    if image is None or not image.storage_key:
        raise not_found()
    if size == "original":
        return await _original(api, image, image.storage_key)
    try:
        made = await api.thumbnails.get(image.storage_key, Size[size.upper()])
    except NotAnImage:
        raise not_found() from None
    headers = {"Cache-Control": f"private, max-age={LINK_SECONDS}", "Cross-Origin-Resource-Policy": "same-origin"}
    return Response(made.body, media_type=f"image/{made.format}", headers=headers)


async def _original(api: State, image: Image, key: str) -> Response:
    link = await api.storage.link(key, LINK_SECONDS, image.filename)
    return RedirectResponse(link.removeprefix(api.config.api_url.rstrip("/")), 302)
