"""Asking for a job: a form, checked as it is filled in by what the API and the command line check."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from pixcrawler.api.dashboard.datasets import message_of, wishes_of
from pixcrawler.api.dashboard.pages import back_to, page
from pixcrawler.api.dashboard.visitors import Editor, Fields
from pixcrawler.api.gate import Caller
from pixcrawler.api.paging import Page
from pixcrawler.api.routes import jobs, lists, projects, sources
from pixcrawler.api.state import Api, State
from pixcrawler.errors import UsageError
from pixcrawler.filters import GIVEN, WORDS
from pixcrawler.jobs import ExportFormat
from pixcrawler.likeness import DEFAULT, PRESETS
from pixcrawler.orders import parse_order
from pixcrawler.quality import DEFAULT as QUALITY
from pixcrawler.quality import PRESETS as QUALITIES

CHUNK_BYTES = 2**20
PROJECTS = 100  # to choose from
SINGLE = ("quality", "rights", "duplicates", "scope")
ANY_LIST = "0" * 32 + ".txt"  # stands for one that is not stored yet

routes = APIRouter(include_in_schema=False)


@routes.get("/jobs/new")
async def form(request: Request, api: Api, editor: Editor) -> Response:
    """What may be wanted, the common things first."""
    return await _shown(request, api, editor, FormData())


@routes.post("/jobs/new/check")
async def check(api: Api, editor: Editor, said: Fields) -> Response:
    """What is wrong with the form as it is: the field and a sentence, both null if nothing is."""
    try:
        _checked(api, said, ANY_LIST if said.get("list_name") else None)
    except (UsageError, ValidationError) as error:
        where, wrong = _told(api, error)
        return JSONResponse({"field": where, "wrong": wrong})
    return JSONResponse({"field": None, "wrong": None})


@routes.post("/jobs/new")
async def create(request: Request, api: Api, editor: Editor, said: Fields) -> Response:
    """Asks for it."""
    file = said.get("list")
    file = file if isinstance(file, UploadFile) and file.filename else None
    try:
        wanted = _checked(api, said, ANY_LIST if file else None)
        if file:
            stored = await lists.store(api, editor.user, _chunks(file), _plain(file.filename))
            wanted = _checked(api, said, stored.list)
        job = await jobs.create(api, editor, wanted)
    except (UsageError, ValidationError) as error:
        return await _shown(request, api, editor, said, *_told(api, error))
    return back_to(f"/jobs/{job.id}")


async def _shown(
    request: Request, api: State, caller: Caller, said: FormData, where: str = "", wrong: str = ""
) -> Response:
    known = await sources.list_(api, caller)
    usual = [name for name in api.config.default_sources if name in api.catalogue]
    owned: Page[Any] = await projects.list_(api, caller, limit=PROJECTS)
    return page(
        request,
        "new_job.html",
        422 if wrong else 200,
        said=said,
        chosen={name: said.getlist(name) for name in ("sources", "formats")},
        where=where,
        wrong=wrong,
        sources=sorted(known, key=lambda one: (bool(_missing(one)), one.needs_list, one.name not in usual, one.name)),
        missing=_missing,
        usual=usual,
        projects=owned.items,
        formats=list(ExportFormat),
        qualities=list(QUALITIES),
        quality=QUALITY,
        presets=list(PRESETS),
        preset=DEFAULT,
        filters={name.value: WORDS.get(name) for name in GIVEN},
    )


def _missing(source: sources.SourceShown) -> str | None:
    """What the operator must do before a source can be asked."""
    if source.consent is False:
        return "needs the operator's consent"
    if source.key and not source.key.present:
        return f"needs a key: {source.key.variable}"
    return None


def _checked(api: State, said: FormData, list_name: str | None) -> jobs.NewJob:
    """The job as the API takes it. Raises `UsageError` or `ValidationError`."""
    wanted = _wanted(said)
    project = wanted.pop("project")
    name = wanted.pop("name")
    parse_order(api.catalogue, api.config, **wanted, name=name, list=list_name)
    return jobs.NewJob.model_validate({**wanted, "name": name, "project": project, "list": list_name})


def _wanted(said: FormData) -> dict[str, Any]:
    words = str(said.get("keywords", "")).replace("\n", ",").split(",")
    filters = {name.value: text for name in GIVEN if (text := str(said.get(f"filter_{name}", "")).strip())}
    return {
        "keywords": [word for word in map(str.strip, words) if word],
        "max_images": _number(said.get("max_images")),
        "name": str(said.get("name", "")).strip() or None,
        "project": _number(said.get("project")) or None,
        "sources": [str(name) for name in said.getlist("sources")] or None,
        "filters": filters or None,
        "flips": True if said.get("flips") else None,
        "formats": [str(name) for name in said.getlist("formats")] or None,
        "export": wishes_of(said) or None,
        **{name: str(said[name]) for name in SINGLE if said.get(name)},
    }


def _number(text: Any) -> Any:
    """A number if it is one, else the text, for others to refuse."""
    plain = str(text or "").strip().replace(",", "").replace(" ", "")
    return int(plain) if plain.isascii() and plain.isdecimal() and len(plain) < 10 else plain


def _told(api: State, error: UsageError | ValidationError) -> tuple[str, str]:
    """The field that is wrong, empty if it is none alone, and what is wrong with it."""
    message = message_of(error)
    subject, _, wrong = message.partition(": ")
    if subject in api.catalogue:  # what keeps a source from being asked
        return "sources", message
    field, value, _ = subject.partition("=")
    if field in GIVEN and value:  # a filter that a source cannot be asked for
        return field, message
    return (subject, wrong) if wrong and subject.isidentifier() else ("", message)


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk


def _plain(name: str | None) -> str:
    """The name of a file as storage takes it; what matters is its suffix."""
    letters = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name or ""
    )
    return letters.lstrip(".")[-100:] or "list"
