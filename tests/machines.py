"""A machine of a test's own: Scrapyd nodes, dispatchers, exporters as separate processes, each to be killed at will."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from configparser import ConfigParser
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil
from loopback import PROJECT, Web
from pictures import encoded, photo

from pixcrawler.services import free_port

Sql = Callable[..., list[tuple[Any, ...]]]

BEAT_SECONDS = 0.05  # between two looks
PATIENCE = 60.0  # seconds; a stuck job fails its test instead of the suite
GRACE_SECONDS = 15.0  # for a process to end in order; a node gives its crawls 8
HASTE_SECONDS = 0.3  # a part that lives no longer fails at its start, and is not started again without a breath
CRAWL_JOB = re.compile(rb"\0_job=(\d+-\d+)\0")


class Part:
    """A process of the machine. Its output is appended to its log; `env` is asked anew at each start."""

    def __init__(self, name: str, command: Iterable[str], env: Callable[[], Mapping[str, str]], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.statuses: list[int] = []  # of the processes that have ended
        self.lasting = True  # started again at once when it dies
        self._command = list(command)
        self._env = env
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=dict(self._env()), cwd=self._folder, stdout=log, stderr=log, start_new_session=True
            )

    def tend(self) -> None:
        """Starts it again if it has died."""
        assert self._process is not None
        if self.lives or not self.lasting or time.monotonic() - self._began < HASTE_SECONDS:
            return
        self.statuses.append(self._process.wait())
        self.start()

    def send(self, number: int) -> None:
        if self.lives:
            os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ends it for good; its status."""
        assert self._process is not None
        self.lasting = False
        self.send(signal.SIGCONT)
        self.send(number)
        try:
            return self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            return self._process.wait()

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def firings(self) -> Counter[str]:
        """How often it has died at each fault point."""
        return Counter(re.findall(r"^fault (\S+)$", self.said(), re.MULTILINE))


class Machine:
    """Everything of one test, its jobs included. Whatever happens, nothing of it is left by `clear`."""

    def __init__(self, folder: Path, url: str, source: Web, sql: Sql, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.source = source
        self.sql = sql
        self.patience = PATIENCE
        self.parts: list[Part] = []
        self.wanted: dict[int, int] = {}  # job → images it must keep; -1: it must be cancelled
        self.nodes: list[str] = []  # as in SCRAPYD_NODES
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ},
            "PYTHONPATH": str(PROJECT),
            "DATABASE_URL": url,
            "PIXCRAWLER_DEFAULT_SOURCES": "openverse",  # no other has a loopback server
            "PIXCRAWLER_DATA_DIR": str(folder),
            "PIXCRAWLER_BASE_URL_OPENVERSE": source.address,
            "PIXCRAWLER_ALLOW_HOSTS": "127.0.0.0/8",
            "PIXCRAWLER_MIN_SIDE": "32",
            "PIXCRAWLER_JOB_LIMITS": "0:1000",
            "PIXCRAWLER_SWEEP_SECONDS": "0.001",
            **settings,
        }

    # Processes

    def node(self, host: str = "127.0.0.1", slots: int = 2, announced: int | None = None, **more: str) -> Part:
        """Starts a Scrapyd node, and tells dispatchers that start later of it. Returns when it answers.

        They hear of its slots, or of more or fewer than it has.
        """
        port = free_port(host)
        home = self.folder / f"node-{port}"
        _write_scrapyd_home(home, self.folder / "logs" / "crawl", host, port, slots)
        part = self._part(f"node {host}:{port}", home, [sys.executable, "-m", "scrapyd", "--pidfile="], lambda: more)
        part.lasting = False
        self.nodes.append(f"http://{host}:{port}#{announced or slots}")
        self.until(lambda: answers(host, port))
        return part

    def dispatcher(self, **more: str) -> Part:
        """A dispatcher; it is started again whenever it dies."""
        return self.service("dispatcher", lambda: more)

    def exporter(self, **more: str) -> Part:
        """An exporter; it is started again whenever it dies."""
        return self.service("exporter", lambda: more)

    def service(self, command: str, more: Callable[[], Mapping[str, str]]) -> Part:
        """A dispatcher or exporter with settings of its own, asked for at each start."""
        name = f"{command}-{len(self.parts)}"
        return self._part(name, self.folder, [sys.executable, "-m", "pixcrawler.cli", command], more)

    def _part(self, name: str, folder: Path, command: list[str], more: Callable[[], Mapping[str, str]]) -> Part:
        def env() -> dict[str, str]:
            return {**self.env, "SCRAPYD_NODES": ",".join(self.nodes), **more()}

        part = Part(name, command, env, folder)
        part.start()
        self.parts.append(part)
        return part

    def until(self, what: Callable[[], Any], seconds: float | None = None) -> Any:
        """Waits for something true, and keeps the parts alive meanwhile. Fails with what is known then."""
        seconds = seconds or self.patience
        if (result := self.within(seconds, what)) is None:
            raise AssertionError(f"it did not happen within {seconds:.0f} s:\n{self.told()}")
        return result

    def within(self, seconds: float, what: Callable[[], Any] = lambda: None) -> Any:
        """Like `until`; None when the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for part in self.parts:
                part.tend()
            if result := what():
                return result
            time.sleep(BEAT_SECONDS)
        return None

    def processes(self) -> list[psutil.Process]:
        """All that lives with this machine's folder in its environment, orphans and workers too."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def _owns(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            ours = process.environ().get("PIXCRAWLER_DATA_DIR") == str(self.folder)
            return ours and process.status() != psutil.STATUS_ZOMBIE
        return False

    def crawls(self) -> dict[str, psutil.Process]:
        """The crawl processes that live, without their workers, by Scrapyd job. Quick: asked at every look."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, psutil.Error):
                if name := CRAWL_JOB.search((folder / "cmdline").read_bytes()):
                    process = psutil.Process(int(folder.name))
                    if self._owns(process):
                        found[name[1].decode()] = process
        return found

    def stop(self) -> None:
        """Ends everything in order: dispatchers and exporters, then nodes."""
        for part in reversed(self.parts):
            part.end()

    def clear(self) -> list[str]:
        """Kills whatever is left; says what it was."""
        left = self.processes()
        names = []
        for process in left:
            with suppress(psutil.Error):
                names.append(" ".join(process.cmdline()))
                process.kill()
        for part in self.parts:
            part.end(signal.SIGKILL)
        psutil.wait_procs(left, timeout=5)
        return names

    def told(self) -> str:
        """What is known of the jobs, and the last words of every part: for a test that fails."""
        rows = [
            *self.sql("SELECT 'job', id, state, kept, asked, outcome, reason FROM crawler.jobs ORDER BY id"),
            *self.sql("SELECT 'run', id, job, state, outcome, not_before::text FROM crawler.runs ORDER BY id"),
            *self.sql("SELECT 'attempt', run, attempt, node, state, reason FROM crawler.attempts ORDER BY 2, 3"),
            *self.sql("SELECT 'export', job, state, tries, reason FROM crawler.exports ORDER BY 2"),
        ]
        words = [f"--- {part.name}, ended {part.statuses}\n{part.said()[-1500:]}" for part in self.parts]
        return "\n".join([*map(str, rows), *words])

    # Jobs

    def job(self, good: int, *, bad: int = 0, asked: int | None = None, hangs: bool = False) -> int:
        """A row as the front end writes it, for a keyword of its own. So many good pictures and bad ones are there.

        With `hangs` its pictures never come: such a job is there to be cancelled.
        """
        keyword = f"pet number {len(self.wanted)}"
        self.source.results[keyword] = self.fill(keyword.replace(" ", "-"), good, bad, "hang" if hangs else "")
        statement = (
            "INSERT INTO public.crawl_jobs (project_id, name, keywords, max_images)"
            " SELECT min(id), %s, %s, %s FROM public.projects RETURNING id"
        )
        number = good if asked is None else asked
        [(job,)] = self.sql(statement, (keyword, json.dumps([keyword]), number))
        self.wanted[job] = min(good, number)
        return int(job)

    def fill(self, name: str, good: int, bad: int, fault: str = "") -> list[str]:
        """Puts pictures under a name into the source: good ones that differ, and bad ones among them."""
        paths = []
        for n in range(good):
            paths.append(f"/{name}/{n}.jpg")
            self.source.put(paths[-1], tiny(n), fault=fault)
        for n in range(bad):
            path = f"/{name}/bad-{n}.jpg"
            self.source.put(path, (tiny(0), tiny(1)[:700], b"no picture")[n % 3])
            paths.insert(1 + n * good // bad, path)
        return paths

    def cancel(self, job: int) -> None:
        """As the front end does."""
        self.sql("UPDATE public.crawl_jobs SET status = 'cancelled' WHERE id = %s", (job,))
        self.wanted[job] = -1

    def unfinished(self) -> list[int]:
        """The jobs that have not reached their end, in the front end's words or in ours."""
        rows = self.sql(
            "SELECT id FROM public.crawl_jobs p LEFT JOIN crawler.jobs j USING (id)"
            " WHERE p.status NOT IN ('completed', 'failed', 'cancelled')"
            " OR j.state NOT IN ('completed', 'failed', 'cancelled') ORDER BY id"
        )
        return [job for (job,) in rows]

    def kept(self, job: int) -> int:
        """How many pictures of a job have a row."""
        return int(self.sql("SELECT count(*) FROM public.images WHERE crawl_job_id = %s", (job,))[0][0])

    def attempts(self, job: int) -> list[tuple[Any, ...]]:
        """run, attempt, state, reason of each, in order."""
        return self.sql(
            "SELECT run, attempt, state, reason FROM crawler.attempts WHERE job = %s ORDER BY run, attempt", (job,)
        )

    def running(self, job: int) -> str | None:
        """The Scrapyd job whose crawl process has begun with this job and not ended."""
        found = self.sql(
            "SELECT run || '-' || attempt FROM crawler.attempts WHERE job = %s AND state = 'running'", (job,)
        )
        return found[0][0] if found else None

    def hits(self, since: float) -> list[str]:
        """What was asked of the source since a moment of `time.time()`."""
        return [path for at, path in list(self.source.log) if at > since]


def is_at_work(process: psutil.Process) -> bool:
    """Whether it lives: not when it is only dead and not buried, as beside a node that sleeps, or an idle init."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def disposable(machine: Machine) -> Iterator[Machine]:
    """Stops a machine after its test; whatever then is left is killed, and named."""
    try:
        yield machine
        machine.stop()
    finally:
        left = machine.clear()
    assert left == []


# Run by every Python of a machine before anything else. A crawl process can then be told by a signal to leave, and to
# compute for ever in its main thread: deaf to INT and TERM, as handlers only take note of these.
SITE = """
import os, signal, sys

def compute(*_):
    while True:
        pass

if any(word.startswith("_job=") for word in sys.orig_argv):
    {first}
    signal.signal(signal.SIGUSR1, compute)
    signal.signal(signal.SIGUSR2, lambda *_: os._exit({status}))
"""


def pliable(machine: Machine, *, status: int = 3, first: str = "pass") -> None:
    """Lets crawl processes compute for ever at SIGUSR1, leave with `status` at SIGUSR2, and do `first` at once."""
    customized(machine, SITE.format(status=status, first=first))


def customized(machine: Machine, code: str) -> None:
    """Runs code at the start of every Python of this machine."""
    folder = machine.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    machine.env["PYTHONPATH"] = os.pathsep.join([str(folder), machine.env["PYTHONPATH"]])


_tiny: dict[int, bytes] = {}


def tiny(seed: int) -> bytes:
    """A small good picture, made once per process: duplicates count only within a job."""
    if seed not in _tiny:
        _tiny[seed] = encoded(photo(seed, (64, 64)))
    return _tiny[seed]


def answers(host: str, port: int) -> bool:
    """Whether a Scrapyd answers there."""
    try:
        with closing(HTTPConnection(host, port, timeout=2)) as connection:
            connection.request("GET", "/daemonstatus.json")
            return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False


def _write_scrapyd_home(home: Path, logs: Path, host: str, port: int, slots: int) -> None:
    """The project's scrapyd.conf with an address, slots and folders of its own, and a scrapy.cfg."""
    scrapyd = ConfigParser(interpolation=None)
    scrapyd.read(PROJECT / "scrapyd.conf")
    own = {"bind_address": host, "http_port": str(port), "max_proc": str(slots), "logs_dir": str(logs)}
    scrapyd.read_dict({"scrapyd": {**own, "dbs_dir": "dbs", "eggs_dir": "eggs"}})
    home.mkdir()
    with (home / "scrapyd.conf").open("w") as file:
        scrapyd.write(file)
    (home / "scrapy.cfg").write_text((PROJECT / "scrapy.cfg").read_text())
