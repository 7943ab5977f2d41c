"""The page at /docs: the OpenAPI document for people, with nothing from other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from pixcrawler.api.problems import Problem

ASSETS = Path(fastapi_offline.__file__).with_name("static")
# Swagger UI sets styles of its elements, and has pictures in its style sheet.
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>PixCrawler API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});\n'


def add(app: FastAPI) -> None:
    """Adds the page and what it is made of."""

    @app.get("/docs", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})

    @app.get("/docs/start.js", include_in_schema=False)
    async def start() -> Response:
        return Response(START, media_type="text/javascript")

    app.mount("/docs/assets", StaticFiles(directory=ASSETS), name="docs")
    _explain_problems(app)


def _explain_problems(app: FastAPI) -> None:
    """Puts into the document what all routes refer to and none returns."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = schema.pop("$defs")
    documented = app.openapi

    def openapi() -> dict[str, Any]:
        document = documented()
        document["components"]["schemas"] |= {"Problem": schema, **parts}
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as its documentation says
