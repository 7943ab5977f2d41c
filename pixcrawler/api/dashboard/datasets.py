"""The dataset files of a job: made, asked for, downloaded."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from pixcrawler.api.dashboard.job import about
from pixcrawler.api.dashboard.pages import back_to, page
from pixcrawler.api.dashboard.visitors import Editor, Fields, Visitor
from pixcrawler.api.routes import Number, exports, jobs
from pixcrawler.api.state import Api
from pixcrawler.api.wishes import Wishes
from pixcrawler.db.exports import files_of
from pixcrawler.errors import UsageError
from pixcrawler.export_options import ExportOptions
from pixcrawler.jobs import ExportFormat, ExportState, Tier

WISHES = tuple(Wishes.model_fields)  # each is a field `export_…`

routes = APIRouter(include_in_schema=False)


@routes.get("/jobs/{job}/datasets")
async def list_(request: Request, api: Api, visitor: Visitor, job: Number) -> Response:
    """Those there are, and a form for another one."""
    return await _shown(request, api, visitor, job)


@routes.post("/jobs/{job}/datasets")
async def ask(request: Request, api: Api, editor: Editor, job: Number, said: Fields) -> Response:
    """Asks for another one."""
    try:
        wanted = exports.NewExport.model_validate({"format": said.get("format"), "options": wishes_of(said)})
        await exports.ask(api, editor, job, wanted)
    except (UsageError, ValidationError) as error:
        return await _shown(request, api, editor, job, said, message_of(error))
    return back_to(f"/jobs/{job}/datasets")


@routes.post("/jobs/{job}/tier")
async def move(api: Api, editor: Editor, job: Number, said: Fields) -> Response:
    """Has it moved to another tier."""
    tier = str(said.get("tier"))
    if tier not in set(Tier):
        raise UsageError(f"tier: expected {', '.join(Tier)}, got {tier[:40]!r}")
    await exports.move(api, editor, job, exports.Place(tier=Tier(tier)))
    return back_to(f"/jobs/{job}/datasets")


@routes.get("/jobs/{job}/datasets/{export}/download")
async def download(api: Api, visitor: Visitor, job: Number, export: Number, file: exports.FileName = None) -> Response:
    """Leads to a file."""
    return await exports.download(api, visitor, job, export, file)


async def _shown(request: Request, api: Api, caller: Any, job: int, said: Any = None, wrong: str = "") -> Response:
    seen = await jobs.overview_of(api, caller, job)
    datasets = [(export, _files(export)) for export in reversed(seen.exports)]
    return page(
        request,
        "datasets.html",
        422 if wrong else 200,
        **about(seen.job),
        datasets=datasets,
        formats=list(ExportFormat),
        said=said or FormData(),
        wrong=wrong,
        tiers={export.tier for export, files in datasets if files},
    )


def _files(export: Any) -> list[dict[str, Any]]:
    return [dict(file) for file in files_of(export)] if export.state == ExportState.DONE else []


def wishes_of(said: FormData) -> dict[str, Any]:
    """What a form wants of a dataset file, as `Wishes` takes it. Raises `UsageError`."""
    given = {name: text for name in WISHES if (text := str(said.get(f"export_{name}", "")).strip())}
    return ExportOptions.parse(given).to_json() | _split_of(given)


def _split_of(given: dict[str, str]) -> dict[str, Any]:
    split = ExportOptions.parse({"split": given["split"]}).split if "split" in given else {}
    return {"split": dict(split)} if split else {}


def message_of(error: UsageError | ValidationError) -> str:
    """One line that begins with the field that is wrong."""
    if isinstance(error, UsageError):
        return str(error)
    first = error.errors()[0]
    return f"{first['loc'][-1] if first['loc'] else 'form'}: {first['msg']}"
