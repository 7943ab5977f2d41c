"""The web services of a node: Scrapyd's, with exactly the arguments that PixCrawler needs."""

from __future__ import annotations

import inspect
import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from pixcrawler.config import source_names
from pixcrawler.errors import PixCrawlerError
from pixcrawler.scrapyd_node.queue import JOB_ID, PROJECT

if TYPE_CHECKING:
    from pixcrawler.scrapyd_node.webroot import Root

log = Logger()

QUESTION = ("GET", "HEAD")
ORDER = ("POST",)
SIGNALS = ("INT", "TERM", "KILL")
FINISHED_SHOWN = 100  # by listjobs.json; reading all 10,000 would keep everybody waiting for half a second

Answer = dict[str, Any]


class Refused(PixCrawlerError):
    """Raised by a service; answered with its status and message."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def send(request: Request, status: HTTPStatus, answer: Answer) -> None:
    """Answers in JSON."""
    body = json.dumps(answer).encode() + b"\n"
    request.setResponseCode(status)
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()


def require_method(request: Request, methods: Sequence[str]) -> None:
    """Raises `Refused` for any other method."""
    if request.method.decode("latin-1") not in methods:
        request.setHeader("Allow", ", ".join(methods))
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{' and '.join(methods)} only")


class Refusal(Resource):
    """Answers everything under its path with the same error."""

    isLeaf = True  # noqa: N815  Twisted's name

    def __init__(self, node_name: str, status: HTTPStatus, message: str) -> None:
        super().__init__()
        self._status = status
        self._answer = {"status": "error", "message": message, "node_name": node_name}

    def render(self, request: Request) -> int:
        send(request, self._status, self._answer)
        return NOT_DONE_YET


class Service(Resource):
    """A question (GET) or an order (POST). The parameters of `answer` are its arguments; no others are taken."""

    methods: ClassVar[tuple[str, ...]] = QUESTION
    answer: Callable[..., Awaitable[Answer]]

    def __init__(self, root: Root) -> None:
        super().__init__()
        self.root = root

    def getChild(self, path: bytes, request: Request) -> Resource:  # noqa: N802  Twisted's name
        return self.root.nothing_here

    def render(self, request: Request) -> int:
        serving = Deferred.fromCoroutine(self._serve(request))
        serving.addErrback(_log_failure)
        request.notifyFinish().addErrback(lambda _: serving.cancel())  # nobody waits for the answer any more
        return NOT_DONE_YET

    async def _serve(self, request: Request) -> None:
        try:
            status, answer = await self._answer(request)
        except Refused as refusal:
            status, answer = refusal.status, {"status": "error", "message": str(refusal)}
        except CancelledError:
            return
        except sqlite3.Error as error:
            message = f"the node's books are out of reach: {error}"
            status, answer = HTTPStatus.SERVICE_UNAVAILABLE, {"status": "error", "message": message}
        except Exception as error:
            log.failure("A request failed")
            message = " ".join(f"{type(error).__name__}: {error}".split())
            status, answer = HTTPStatus.INTERNAL_SERVER_ERROR, {"status": "error", "message": message}
        self.send(request, status, answer)

    def send(self, request: Request, status: HTTPStatus, answer: Answer) -> None:
        """Sends an answer in the form that the service has."""
        send(request, status, {**answer, "node_name": self.root.node_name})

    async def _answer(self, request: Request) -> tuple[HTTPStatus, Answer]:
        require_method(request, self.methods)
        answer = await self.answer(**self._arguments(request))
        return self.status_of(answer), {"status": "ok", **answer}

    def status_of(self, answer: Answer) -> HTTPStatus:
        """The status that goes with an answer."""
        return HTTPStatus.OK

    def _arguments(self, request: Request) -> dict[str, str]:
        if request.method == b"POST" and b"?" in request.uri:
            raise Refused(HTTPStatus.BAD_REQUEST, "the arguments of a POST go into its body")
        given = {_text(name): values for name, values in request.args.items()}
        for name, values in given.items():
            if name not in self._parameters:
                raise Refused(HTTPStatus.BAD_REQUEST, f"unknown argument {name[:100]!r}")
            if len(values) > 1:
                raise Refused(HTTPStatus.BAD_REQUEST, f"argument {name!r} was given more than once")
        for name, parameter in self._parameters.items():
            if name not in given and parameter.default is parameter.empty:
                raise Refused(HTTPStatus.BAD_REQUEST, f"argument {name!r} is missing")
        return {name: _text(values[0]) for name, values in given.items()}

    @cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.answer).parameters


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refused(HTTPStatus.BAD_REQUEST, "arguments must be UTF-8") from None


def _log_failure(failure: Failure) -> None:
    if not failure.check(CancelledError):
        log.failure("An answer could not be sent", failure)


class Order(Service):
    """A service that changes something."""

    methods = ORDER


def _require_project(project: str) -> None:
    if project != PROJECT:
        raise Refused(HTTPStatus.BAD_REQUEST, f"project: only {PROJECT!r} is known")


class Schedule(Order):
    """Starts a crawl process, or lets it wait for a slot."""

    async def answer(self, project: str, spider: str, jobid: str) -> Answer:
        _require_project(project)
        if spider not in source_names():
            raise Refused(HTTPStatus.BAD_REQUEST, f"spider: known are {', '.join(source_names())}")
        if not JOB_ID.fullmatch(jobid):
            raise Refused(HTTPStatus.BAD_REQUEST, "jobid: expected <run>-<attempt>, such as 12-1")
        if self.root.launcher.stopping:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "this node is being stopped")
        state = self.root.state_of(jobid)
        if state is not None:
            raise Refused(HTTPStatus.CONFLICT, f"job {jobid} is {state} already")
        self.root.queue.add(spider, _job=jobid)
        self.root.poller.poll()
        return {"jobid": jobid}


class Cancel(Order):
    """Ends a job: takes it out of the queue, or sends its process a signal."""

    async def answer(self, project: str, job: str, signal: str = "INT") -> Answer:
        _require_project(project)
        if signal not in SIGNALS:
            raise Refused(HTTPStatus.BAD_REQUEST, f"signal: known are {', '.join(SIGNALS)}")
        state = "pending" if self.root.queue.cancel(job) else None
        for crawl in self.root.launcher.processes.values():
            if crawl.job == job:
                crawl.signal(signal)
                state = "running"
        return {"prevstate": state}


class Status(Service):
    """What the node knows of a job."""

    async def answer(self, job: str, project: str = PROJECT) -> Answer:
        _require_project(project)
        state = self.root.state_of(job)
        ending = self.root.launcher.endings.get(job) if state == "finished" else None
        return {"currstate": state, "ending": ending}


class ListJobs(Service):
    """The jobs that wait, run, and have ended last."""

    async def answer(self, project: str = PROJECT) -> Answer:
        _require_project(project)
        return {
            "pending": [_job(message["name"], message["_job"]) for message in self.root.queue.list()],
            "running": [
                {**self._with_log(crawl), "pid": crawl.pid, "start_time": _time(crawl.start_time)}
                for crawl in self.root.launcher.processes.values()
            ],
            "finished": [
                {**self._with_log(job), "start_time": _time(job.start_time), "end_time": _time(job.end_time)}
                for job in self.root.launcher.finished.newest(FINISHED_SHOWN)
            ],
        }

    def _with_log(self, job: Any) -> Answer:
        return {**_job(job.spider, job.job), "log_url": self.root.log_url(job.spider, job.job)}


def _job(spider: str, job: str) -> Answer:
    return {"id": job, "project": PROJECT, "spider": spider}


def _time(local: datetime) -> str:
    return local.astimezone().isoformat()


class DaemonStatus(Service):
    """How many jobs wait, run, and have ended."""

    async def answer(self) -> Answer:
        launcher = self.root.launcher
        return {
            "pending": len(self.root.queue.list()),
            "running": len(launcher.processes),
            "finished": len(launcher.finished),
        }
