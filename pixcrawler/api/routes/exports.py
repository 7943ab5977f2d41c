"""Dataset files: what there is, what is wanted besides, and how one is had."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict

from pixcrawler.api.gate import Reader, Writer
from pixcrawler.api.problems import Code, Refused, described, in_conflict, not_found
from pixcrawler.api.routes import Number, also, router
from pixcrawler.api.routes.jobs import require
from pixcrawler.api.state import Api, Plain
from pixcrawler.api.wishes import Wishes
from pixcrawler.db import messages, overview
from pixcrawler.db.exports import files_of
from pixcrawler.db.overview import Export
from pixcrawler.errors import ExportFailed
from pixcrawler.export import ordering
from pixcrawler.export_options import ExportOptions
from pixcrawler.jobs import ExportFormat, ExportState, Tier

LINK_SECONDS = 3600

routes = router("crawl-jobs/{job}", "datasets")

FileName = Annotated[Plain | None, Query(max_length=255, description="Needed if the dataset has several files.")]


class NewExport(BaseModel):
    """Another dataset file."""

    model_config = ConfigDict(extra="forbid")

    format: ExportFormat = ExportFormat.ZIP
    options: Wishes = Wishes()


class Place(BaseModel):
    """Where a dataset is to be."""

    model_config = ConfigDict(extra="forbid")

    tier: Tier


@routes.get("/exports", **also(Code.NOT_FOUND))
async def exports(api: Api, caller: Reader, job: Number) -> list[Export]:
    """Its datasets, wanted and made."""
    async with api.reading() as connection:
        await require(connection, job, caller)
        return await overview.exports_of(connection, job)


@routes.post("/exports", status_code=202, **also(Code.NOT_FOUND, Code.CONFLICT))
async def ask(api: Api, caller: Writer, job: Number, wanted: NewExport) -> Export:
    """Asks for a dataset of an ended job: the one there is, or one that an exporter builds now."""
    options = ExportOptions.parse(wanted.options.model_dump()).to_json()
    async with api.transaction() as connection:
        await require(connection, job, caller)
        with in_conflict(ExportFailed):
            return overview.told(await ordering.ask(connection, job, wanted.format, options))


@routes.post("/tier", status_code=202, **also(Code.NOT_FOUND, Code.CONFLICT))
async def move(api: Api, caller: Writer, job: Number, place: Place) -> Export:
    """Has its dataset moved: warm as 7z, and the hot files go; hot as ZIP again."""
    async with api.transaction() as connection:
        await require(connection, job, caller)
        with in_conflict(ExportFailed):
            return overview.told(await ordering.ask_move(connection, job, place.tier))


@routes.get(
    "/exports/{export}/download",
    status_code=302,
    response_class=RedirectResponse,
    responses={302: {"description": "where the file is, for an hour"}, **described(Code.NOT_FOUND, Code.CONFLICT)},
)
async def download(api: Api, caller: Reader, job: Number, export: Number, file: FileName = None) -> Response:
    """Leads to a file, by a link that ends."""
    async with api.transaction() as connection:
        await require(connection, job, caller)
        found = next((one for one in await overview.exports_of(connection, job) if one.id == export), None)
        if found is None:
            raise not_found()
        if found.state != ExportState.DONE:
            raise Refused(Code.CONFLICT, f"the dataset is {found.state}")
        chosen = _chosen(found, file)
        await messages.log(connection, caller.user, job, "DOWNLOAD_IMAGES", {"export": export, "file": chosen["name"]})
    name = chosen["name"] if found.files else f"job-{job}{PurePath(chosen['name']).suffix}"
    link = await api.storages[Tier(found.tier)].link(chosen["key"], LINK_SECONDS, name)
    return RedirectResponse(link.removeprefix(api.config.api_url.rstrip("/")), 302)


def _chosen(export: Export, name: str | None) -> dict[str, Any]:
    files = files_of(export)
    if name is None and len(files) > 1:
        raise Refused(Code.INVALID, f"file: this dataset has {len(files)}, say which; they are in its `files`")
    found = next((file for file in files if name in (None, file["name"])), None)
    if found is None:
        raise not_found()
    return found
