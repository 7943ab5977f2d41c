"""A Scrapyd node, asked over HTTP. Only bodies count: errors come with status 200."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx

from pixcrawler.config import Node
from pixcrawler.errors import NodeDown, NodeRefused, NodeUnavailable

PROJECT = "pixcrawler"
TIMEOUT_SECONDS = 5  # a node answers in milliseconds; Scrapyd's own first answer lists the spiders for a second or two


class Scrapyd:
    """One node. Every method raises `NodeDown`, `NodeUnavailable` or `NodeRefused`."""

    def __init__(self, node: Node) -> None:
        self.node = node
        auth = httpx.BasicAuth(node.username, node.password.get_secret_value()) if node.username else None
        # No proxy from the environment: a node is asked directly.
        self._client = httpx.AsyncClient(base_url=node.url, auth=auth, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def schedule(self, spider: str, job: str) -> None:
        """Asks for a crawl process. Asked for a job it has met before, our node starts nothing: that is success."""
        await self._ask(
            "POST", "schedule.json", {"project": PROJECT, "spider": spider, "jobid": job}, HTTPStatus.CONFLICT
        )

    async def state(self, job: str) -> tuple[str | None, str]:
        """`pending`, `running`, `finished`, or None: the node knows nothing of it (any more). And how it ended."""
        answer = await self._ask("GET", "status.json", {"project": PROJECT, "job": job})
        return answer.get("currstate"), answer.get("ending") or "ended"

    async def cancel(self, job: str, signal: str = "INT") -> None:
        """Sends `signal`; a job that waits in the node's queue is taken out of it."""
        await self._ask("POST", "cancel.json", {"project": PROJECT, "job": job, "signal": signal})

    async def knock(self) -> None:
        """Asks for nothing but an answer."""
        await self._ask("GET", "daemonstatus.json", {})

    def log(self, spider: str, job: str) -> str:
        """The address of a job's log."""
        return f"{self.node.url}/logs/{PROJECT}/{spider}/{job}.log"

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _ask(
        self, method: str, service: str, values: dict[str, str], fine: HTTPStatus = HTTPStatus.OK
    ) -> dict[str, Any]:
        about = {"params": values} if method == "GET" else {"data": values}
        try:
            response = await self._client.request(method, service, **about)  # type: ignore[arg-type]  # either of two
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                raise NodeRefused(f"Scrapyd at {self.node.name} refused our user name or password")
            if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                raise NodeDown(f"Scrapyd at {self.node.name} takes no orders at the moment")
            answer = response.json()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NodeDown(f"Scrapyd at {self.node.name} cannot be reached: {error}") from None
        except (httpx.HTTPError, ValueError) as error:
            raise NodeUnavailable(f"Scrapyd at {self.node.name} did not answer: {error!r}") from None
        if not isinstance(answer, dict) or (answer.get("status") != "ok" and response.status_code != fine):
            message = answer.get("message") if isinstance(answer, dict) else None
            raise NodeRefused(f"Scrapyd at {self.node.name} refused: {message or response.status_code}")
        return answer
