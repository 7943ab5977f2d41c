"""How pages are made: templates, what they know of, and the headers that go with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.filesize import decimal
from starlette.requests import HTTPConnection

from pixcrawler.api.dashboard import words
from pixcrawler.api.dashboard.visitors import FORM_TOKEN, new_token, remember
from pixcrawler.owners.keys import Scope

HERE = Path(__file__).parent

# What is found from everywhere: title, address, and what a visitor must be permitted.
NAVIGATION = (
    ("Jobs", "/", Scope.READ),
    ("Projects", "/projects", Scope.READ),
    ("Sources", "/sources", Scope.READ),
    ("Nodes", "/nodes", Scope.READ),
    ("Notifications", "/notifications", Scope.READ),
    ("Usage", "/usage", Scope.READ),
    ("API keys", "/keys", Scope.ADMIN),
)

# Nothing but what is ours runs, styles or is asked, nobody frames it, and no other window holds on to it.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",  # with none at all, browsers call the origin of our own forms `null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Static(StaticFiles):
    """Files whose addresses change with their bytes, see `static`."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def page(
    request: HTTPConnection, template: str, status: int = 200, headers: Mapping[str, str] | None = None, /, **shown: Any
) -> HTMLResponse:
    """A page. Templates also know who asks, as `caller` (None: nobody is known), and what they may do."""
    caller = getattr(request.state, "caller", None)
    known = request.cookies.get(FORM_TOKEN)
    token = known or new_token()
    text = TEMPLATES.get_template(template).render(
        request=request,
        here=request.scope["path"],
        caller=caller,
        may_write=caller is not None and Scope.WRITE in caller.scopes,
        form_token=lambda: Markup('<input type="hidden" name="{}" value="{}">').format(FORM_TOKEN, token),
        **shown,
    )
    response = HTMLResponse(text, status, {**HEADERS, **(headers or {})})
    if not known:
        remember(request, response, FORM_TOKEN, token)
    return response


def back_to(path: str) -> RedirectResponse:
    """What follows a form: a page that can be loaded again without sending it again."""
    return RedirectResponse(path, 303)


@cache
def static(name: str) -> str:
    """The address of a file in `static/`."""
    digest = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{digest}"


def when(moment: datetime | None) -> Markup:
    """A time, in UTC; the script tells it in the reader's zone."""
    if moment is None:
        return Markup('<span class="faint">–</span>')
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        moment.isoformat(timespec="seconds"), f"{moment:%-d %b %Y, %H:%M} UTC"
    )


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(when=when, size=decimal, number="{:,}".format, zip=zip)
    environment.globals.update(static=static, navigation=NAVIGATION, words=words)
    return environment


TEMPLATES = _templates()
