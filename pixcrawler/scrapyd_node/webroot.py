"""Everything a node answers to, and whom it does not answer."""

from __future__ import annotations

import ipaddress
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from scrapyd.interfaces import IPoller
from scrapyd.website import File
from twisted.application.service import IServiceCollection
from twisted.web.resource import Resource
from twisted.web.server import Request

from pixcrawler.config import node_variable
from pixcrawler.scrapyd_node import metrics, operators, services
from pixcrawler.scrapyd_node.jobstorage import JobStorage
from pixcrawler.scrapyd_node.launcher import Launcher
from pixcrawler.scrapyd_node.poller import Poller
from pixcrawler.scrapyd_node.queue import PROJECT, SpiderQueue

LOGS = b"logs"
SERVICES = {
    b"schedule.json": services.Schedule,
    b"cancel.json": services.Cancel,
    b"status.json": services.Status,
    b"listjobs.json": services.ListJobs,
    b"daemonstatus.json": services.DaemonStatus,
    b"crawljobs.json": operators.CrawlJobs,
    b"crawljob.json": operators.CrawlJob,
    b"health.json": operators.Health,
    b"metrics": metrics.Metrics,
}


class Root(Resource):
    """A fixed set of services and the logs. What [services] in scrapyd.conf says is not heeded."""

    def __init__(self, config: Any, app: Any) -> None:
        super().__init__()
        self._app = app
        self._logs_dir = Path(config.get("logs_dir"))
        self.node_name: str = config.get("node_name", socket.gethostname())
        self._hosts = _hosts(config)
        self.database = operators.Database()
        self.nothing_here = self.refusal(HTTPStatus.NOT_FOUND, "there is nothing here")
        for name, service in SERVICES.items():
            self.putChild(name, service(self))
        self.putChild(LOGS, Logs(str(self._logs_dir), self))

    def getChildWithDefault(self, path: bytes, request: Request) -> Resource:  # noqa: N802  Twisted's name
        """Every request comes through here."""
        request.setHeader("X-Content-Type-Options", "nosniff")
        try:
            self._check(path, request)
        except services.Refused as refusal:
            return self.refusal(refusal.status, str(refusal))
        child: Resource = super().getChildWithDefault(path, request)
        return child

    def _check(self, path: bytes, request: Request) -> None:
        if request.requestHeaders.hasHeader("Origin"):  # a web page asks, in the browser of someone who may
            raise services.Refused(HTTPStatus.FORBIDDEN, "web pages may not ask a node")
        if not self._is_meant(request):
            message = "this node has another name; see allowed_hosts in scrapyd.conf"
            raise services.Refused(HTTPStatus.FORBIDDEN, message)
        if path == LOGS:
            services.require_method(request, services.QUESTION)

    def getChild(self, path: bytes, request: Request) -> Resource:  # noqa: N802
        return self.nothing_here

    def _is_meant(self, request: Request) -> bool:
        """Whether the Host is ours: any other name may be a stranger's that leads here (DNS rebinding)."""
        named = request.requestHeaders.getRawHeaders("Host", [])
        try:
            [host] = [urlsplit(f"//{name}").hostname for name in named]
        except ValueError:
            return False
        return host is not None and (host in self._hosts or _is_address(host))

    def refusal(self, status: HTTPStatus, message: str) -> Resource:
        """Answers with an error, whatever is asked."""
        return services.Refusal(self.node_name, status, message)

    @property
    def launcher(self) -> Launcher:
        launcher: Launcher = IServiceCollection(self._app, self._app).getServiceNamed("launcher")
        return launcher

    @property
    def poller(self) -> Poller:
        poller: Poller = self._app.getComponent(IPoller)
        return poller

    @property
    def queue(self) -> SpiderQueue:
        queue: SpiderQueue = self.poller.queues[PROJECT]
        return queue

    def state_of(self, job: str) -> str | None:
        """`running`, `pending`, `finished`, or None: the node knows nothing of it."""
        if any(crawl.job == job for crawl in self.launcher.processes.values()):
            return "running"
        if self.queue.knows(job):
            return "pending"
        finished: JobStorage = self.launcher.finished
        return "finished" if finished.knows(PROJECT, job) else None

    def log_url(self, spider: str, job: str) -> str | None:
        """The path of a job's log here, if it has one."""
        if not (self._logs_dir / PROJECT / spider / f"{job}.log").is_file():
            return None
        return f"/logs/{PROJECT}/{quote(spider)}/{quote(job)}.log"


class Logs(File):
    """The logs of the crawls, as plain text whatever their names."""

    contentTypes: dict[str, str] = {}  # noqa: N815, RUF012  Twisted's name
    contentEncodings: dict[str, str] = {}  # noqa: N815, RUF012
    indexNames: list[str] = []  # noqa: N815, RUF012

    def __init__(self, path: str, root: Root) -> None:
        super().__init__(path, "text/plain; charset=utf-8")
        self._root = root
        self.childNotFound = root.nothing_here

    def createSimilarFile(self, path: str) -> Logs:  # noqa: N802
        return Logs(path, self._root)

    def getChild(self, path: bytes, request: Request) -> Resource:  # noqa: N802
        child: Resource = self.childNotFound if b"\0" in path else super().getChild(path, request)
        return child


def _hosts(config: Any) -> frozenset[str]:
    bound = node_variable("bind_address") or config.get("bind_address", "")
    allowed = node_variable("allowed_hosts") or config.get("allowed_hosts", "")
    return frozenset({"localhost", bound.lower(), *allowed.lower().replace(",", " ").split()})


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
