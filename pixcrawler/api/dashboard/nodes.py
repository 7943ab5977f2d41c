"""What jobs need, and what is at work for the visitor."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pixcrawler.api.dashboard.pages import page
from pixcrawler.api.dashboard.visitors import Visitor
from pixcrawler.api.dashboard.words import Said
from pixcrawler.api.state import Api
from pixcrawler.db import overview
from pixcrawler.health import NodePart, Part, look

routes = APIRouter(include_in_schema=False)


@routes.get("/nodes")
async def show(request: Request, api: Api, visitor: Visitor) -> Response:
    """Nodes, services, and the visitor's crawl processes."""
    health = await look(api.engine, api.config, api.storage, api.client)
    at_work = []
    if health.database.ok:
        async with api.transaction() as connection:
            at_work = await overview.at_work(connection, visitor.user)
    services = {
        "Database": health.database,
        "Storage": health.storage,
        "Dispatchers": health.dispatcher,
        "Exporters": health.exporter,
    }
    nodes = [(name, node, node_word(node)) for name, node in health.nodes.items()]
    return page(
        request, "nodes.html", nodes=nodes, services=services, at_work=at_work, service_word=service_word, span=span
    )


def node_word(node: NodePart) -> Said:
    """How a node is."""
    if node.running is None:
        return Said("away", "bad")
    if node.wedged:
        return Said("wedged", "bad")
    if not node.ok:
        return Said("not well", "warn")
    return Said("at work", "busy") if node.running else Said("idle", "good")


def service_word(part: Part) -> Said:
    """Whether a service is there."""
    return Said("works", "good") if part.ok else Said("missing", "bad")


def span(seconds: float) -> str:
    """A time in the largest units that say enough: `3 d 4 h`."""
    left = max(0, round(seconds))
    said: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number or (unit == "s" and not said):
            said.append(f"{number} {unit}")
    return " ".join(said[:2])
