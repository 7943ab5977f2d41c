"""The dashboard: what the API tells and does, as pages for people.

A page is added so:

1. A module beside this one with `routes = APIRouter(include_in_schema=False)`, named in `PAGES`. A route takes a
   `Visitor`, an `Editor` or a `Keeper` (`visitors.py`: who may read, write, or manage keys), asks the function of
   `api/routes/` that answers programs, and returns `page(request, "template.html", …)`. Whatever it raises is shown as
   a page by itself.
2. A template that extends `base.html` and is made of the macros in `parts.html`. Texts are escaped; there are no
   inline styles and scripts, which the policy forbids. A form is `<form method="post">` with `{{ form_token() }}`
   inside; its route takes `Fields`, and ends with `back_to(…)`. It works without the script.
3. A line in `pages.NAVIGATION` if it is found from everywhere, and rules in `static/` only where no component fits.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from pixcrawler.api.dashboard import (
    datasets,
    findings,
    job,
    jobs,
    keys,
    new_job,
    nodes,
    notifications,
    pictures,
    projects,
    runs,
    sign_in,
    sources,
    usage,
)
from pixcrawler.api.dashboard.pages import Static
from pixcrawler.api.dashboard.problem_page import show_problem

__all__ = ["add", "show_problem"]

PAGES = (
    *(sign_in, jobs, new_job, job, pictures, findings, runs, datasets),
    *(nodes, sources, projects, notifications, keys, usage),
)


def add(app: FastAPI) -> None:
    """Adds all pages, and what they are made of."""
    for module in PAGES:
        app.include_router(module.routes)
    app.mount("/static", Static(directory=Path(__file__).with_name("static")), name="static")
