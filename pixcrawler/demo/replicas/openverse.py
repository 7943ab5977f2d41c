"""Openverse as an anonymous client meets it."""

from __future__ import annotations

from typing import Any

from pixcrawler.demo import api
from pixcrawler.demo.catalogue import Entry
from pixcrawler.demo.replicas import Answer, Asked, Replica


class Openverse(Replica):
    """Search alone. A question is narrowed by licence and aspect."""

    source = "openverse"
    redesign = ('"url"', '"image_url"')

    def page(self, asked: Asked) -> Answer | None:
        if asked.path != "/v1/images/":
            return None
        found = [entry for entry in self.entries(asked.query.get("q", "")) if _is_within(entry, asked.query)]
        status, answer = api.search(found, asked.query, self.records)
        reply = Answer.json(answer, status, **api.rate_limits(len(self.asked)))
        return reply if status == 200 else self.scold(asked, reply)

    def limited(self, asked: Asked) -> Answer:
        detail = "Request was throttled. Expected available in 1 second."
        return Answer.json({"detail": detail}, 429, Retry_After="1")

    def record(self, entry: Entry) -> dict[str, Any]:
        return api.item(entry, self.url)


def _is_within(entry: Entry, asked: dict[str, str]) -> bool:
    licences = asked.get("license")
    if licences and entry.license.slug not in licences.split(","):
        return False
    width, height = entry.width or 0, entry.height or 0
    shape = "wide" if width > height else "tall" if height > width else "square"
    return asked.get("aspect_ratio") in (None, shape)
