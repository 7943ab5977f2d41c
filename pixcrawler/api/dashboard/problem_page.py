"""Problems as pages."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi.responses import RedirectResponse, Response
from starlette.requests import HTTPConnection

from pixcrawler.api.dashboard.pages import page
from pixcrawler.api.dashboard.visitors import SESSION
from pixcrawler.api.guard import HARMLESS
from pixcrawler.api.problems import Code, Problem

TITLES = {
    Code.MALFORMED: "That was not understood",
    Code.INVALID: "That is not possible",
    Code.FORBIDDEN: "Your key may not do that",
    Code.LINK_REFUSED: "This link does not open anything",
    Code.FOREIGN_ORIGIN: "This did not come from our page",
    Code.NOT_FOUND: "There is nothing here",
    Code.METHOD_NOT_ALLOWED: "That cannot be done here",
    Code.CONFLICT: "Not as things are now",
    Code.TOO_LARGE: "That is too large",
    Code.RANGE: "There is no such part",
    Code.WRONG_HOST: "Nobody of that name is here",
    Code.RATE_LIMITED: "A little slower, please",
    Code.INTERNAL: "Something went wrong",
    Code.UNAVAILABLE: "Not available at the moment",
}


def show_problem(request: HTTPConnection, problem: Problem, headers: dict[str, str]) -> Response:
    """A problem for people; who is not known is asked to sign in."""
    if problem.code is Code.UNAUTHENTICATED:
        return _to_sign_in(request)
    title = TITLES.get(problem.code, problem.title)
    return page(request, "problem.html", problem.status, headers, title=title, problem=problem)


def _to_sign_in(request: HTTPConnection) -> Response:
    harmless = request.scope["method"] in HARMLESS
    wanted = f"{request.url.path}?{request.url.query}".rstrip("?") if harmless else "/"
    response = RedirectResponse(f"/sign-in?{urlencode({'next': wanted})}", 303)
    response.delete_cookie(SESSION)
    return response
