"""`/robots.txt`, RFC 9309."""

from __future__ import annotations

from protego import Protego

from pixcrawler.jobs import Reason
from pixcrawler.opt_outs import Denial, Kind, text_of


class RobotsTxt:
    """The rules of a host for an agent, by its product token."""

    def __init__(self, body: bytes, agent: str) -> None:
        self._rules = Protego.parse(text_of(body))
        self._agent = agent

    def denial(self, url: str, kind: Kind) -> Denial | None:
        if self._rules.can_fetch(url, self._agent):
            return None
        return Denial(Reason.ROBOTS, f"robots.txt disallows it for {self._agent}")
