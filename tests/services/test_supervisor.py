import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

# Every part writes what it lives through as lines "<what> <name> <pid> <time>" into one file.
PRELUDE = """
import os, signal, subprocess, sys, time
def tell(what):
    with open("events", "a") as file:
        file.write(f"{what} {name} {os.getpid()} {time.monotonic()}\\n")
def quit(*_):
    tell("asked")
    sys.exit()
def serve():
    signal.signal(signal.SIGTERM, quit)
    tell("up")
    while True: time.sleep(60)
def resist():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell("up")
    while True: time.sleep(60)
def child(name, code):
    # In a group of its own, as crawls are.
    return subprocess.Popen([sys.executable, "-c", prelude(name) + code], process_group=0)
def prelude(name):
    return f"PRELUDE = {PRELUDE!r}\\nname = {name!r}\\nexec(PRELUDE)\\n"
"""
HARNESS = """
import asyncio, logging, sys
from pathlib import Path
from pixcrawler.errors import PixCrawlerError
from pixcrawler.services import Part, supervise

here = Path.cwd()
PRELUDE = {prelude!r}
def part(name, code, **rest):
    start = f"PRELUDE = {{PRELUDE!r}}\\nname = {{name!r}}\\nexec(PRELUDE)\\n"
    return Part(name, [sys.executable, "-c", start + code], {{}}, here, **rest)
async def work():
    print("working", flush=True)
    await asyncio.sleep({work_seconds})
logging.basicConfig(level="INFO", format="%(message)s")
try:
    asyncio.run(supervise({stages}, here / "logs", work, grace_seconds={grace}))
except KeyboardInterrupt:
    sys.exit(130)
except PixCrawlerError as error:
    sys.exit(str(error))
"""


class Supervised:
    """A supervisor in a process of its own, and what its parts have told."""

    def __init__(self, folder: Path, stages: str, grace: float = 600, work_seconds: float = 600) -> None:
        code = HARNESS.format(prelude=PRELUDE, stages=textwrap.dedent(stages), grace=grace, work_seconds=work_seconds)
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def events(self, what: str = "") -> list[list[str]]:
        file = self.folder / "events"
        lines = file.read_text().splitlines() if file.exists() else []
        return [words for line in lines if len(words := line.split()) == 4 and what in ("", words[0])]

    def names(self, what: str) -> list[str]:
        return [name for _, name, _, _ in self.events(what)]

    def pids(self) -> set[int]:
        return {int(pid) for _, _, pid, _ in self.events()}

    def wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def ended(self) -> tuple[int, str]:
        """Exit status and what it wrote on stderr."""
        _, errors = self.process.communicate()
        return self.process.returncode, errors

    def living(self) -> set[int]:
        return {pid for pid in self.pids() if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"}


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    all_of_them = []

    def start(*arguments: object, **options: object) -> Supervised:
        all_of_them.append(Supervised(tmp_path, *arguments, **options))
        return all_of_them[-1]

    yield start
    for one in all_of_them:
        with one.process:
            one.process.kill()
        for pid in one.living():
            os.kill(pid, signal.SIGKILL)


def test_parts_run_while_the_work_runs_and_end_with_it(supervised: Callable[..., Supervised]) -> None:
    run = supervised("[[part('one', 'serve()')], [part('two', 'serve()'), part('three', 'serve()')]]", work_seconds=1)
    assert run.ended() == (0, "")
    assert sorted(run.names("up")) == ["one", "three", "two"]
    assert run.living() == set()


def test_a_part_that_dies_starts_again_later_each_time_with_one_line(supervised: Callable[..., Supervised]) -> None:
    run = supervised("[[part('weak', 'tell(\"up\"); sys.exit(3)')]]")
    run.wait_for(lambda: len(run.events("up")) >= 4)
    run.process.send_signal(signal.SIGINT)
    times = [float(when) for *_, when in run.events("up")]
    pauses = (0.5, 1, 2)
    assert all(after - before > pause for (before, after), pause in zip(pairwise(times[:4]), pauses, strict=True))
    assert run.ended()[1].splitlines()[:3] == [  # the fourth life may have ended in time for another line
        f"weak ended with status 3 and starts again in {pause} s; its log: {run.folder}/logs/weak.log"
        for pause in pauses
    ]


def test_others_go_on_while_one_restarts(supervised: Callable[..., Supervised]) -> None:
    run = supervised("[[part('weak', 'tell(\"up\"); sys.exit(3)'), part('strong', 'serve()')]]")
    run.wait_for(lambda: run.names("up").count("weak") >= 2)
    run.process.send_signal(signal.SIGTERM)
    assert run.ended()[0] == 130
    assert run.names("up").count("strong") == 1


NODE = """[
    [part('node', '''child("crawl", 'child("decoder", "serve()"); serve()'); serve()''')],
    [part('dispatcher', 'serve()'), part('exporter', 'serve()')],
]"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stops_services_then_the_node_then_what_it_leaves(supervised: Callable[..., Supervised], number: int) -> None:
    run = supervised(NODE, grace=1)
    run.wait_for(lambda: len(run.events("up")) == 5)
    run.process.send_signal(number)
    assert run.ended() == (130, "")
    asked = run.names("asked")
    assert set(asked[:2]) == {"dispatcher", "exporter"}
    # The decoder belongs to the crawl and is not asked behind its back: it was killed with what was left.
    assert asked[2:] == ["node", "crawl"]
    assert run.living() == set()


def test_what_does_not_listen_is_killed_after_the_grace(supervised: Callable[..., Supervised]) -> None:
    run = supervised("[[part('deaf', 'child(\"crawl\", \"resist()\"); resist()')]]", grace=0.3)
    run.wait_for(lambda: len(run.events("up")) == 2)
    run.process.send_signal(signal.SIGINT)
    assert run.ended()[0] == 130
    assert run.living() == set()


def test_a_second_signal_stops_at_once(supervised: Callable[..., Supervised]) -> None:
    run = supervised("[[part('deaf', 'child(\"crawl\", \"resist()\"); resist()')]]", grace=600)
    run.wait_for(lambda: len(run.events("up")) == 2)
    run.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):  # it is patient after the first
        run.process.wait(0.5)
    run.process.send_signal(signal.SIGINT)
    assert run.ended()[0] == 130
    assert run.living() == set()


def test_a_signal_while_a_part_waits_for_its_restart(supervised: Callable[..., Supervised]) -> None:
    run = supervised("[[part('weak', 'tell(\"up\"); sys.exit(3)')]]")
    run.wait_for(lambda: len(run.events("up")) == 1)
    run.process.send_signal(signal.SIGINT)
    assert run.ended()[0] == 130
    assert run.living() == set()


def test_orphans_of_a_killed_node_end_before_it_starts_again(supervised: Callable[..., Supervised]) -> None:
    run = supervised("[[part('node', 'child(\"crawl\", \"serve()\"); serve()')]]")
    run.wait_for(lambda: len(run.events("up")) == 2)
    pids = {name: int(pid) for _, name, pid, _ in run.events("up")}
    os.kill(pids["node"], signal.SIGKILL)
    run.wait_for(lambda: len(run.events("up")) == 4)
    assert run.names("")[:3] in (["node", "crawl", "crawl"], ["crawl", "node", "crawl"])  # up, up, asked
    assert pids["crawl"] not in run.living()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
def test_parts_of_a_killed_supervisor_die(supervised: Callable[..., Supervised]) -> None:
    run = supervised("[[part('one', 'resist()'), part('two', 'serve()')]]")
    run.wait_for(lambda: len(run.events("up")) == 2)
    run.process.kill()
    run.process.wait()
    while run.living():
        time.sleep(0.02)


def test_parts_have_sessions_of_their_own(supervised: Callable[..., Supervised]) -> None:
    run = supervised("[[part('one', 'serve()')]]")
    run.wait_for(lambda: len(run.events("up")) == 1)
    (pid,) = run.pids()
    assert os.getsid(pid) == pid


def test_a_part_that_never_answers_is_named_with_its_log(supervised: Callable[..., Supervised]) -> None:
    run = supervised("[[part('node', 'print(\"no room\"); sys.exit(1)', answers=lambda: False)]]")
    status, errors = run.ended()
    assert status == 1
    assert errors.splitlines()[-1] == f"node does not answer; its log: {run.folder}/logs/node.log"
    assert (run.folder / "logs" / "node.log").read_text() == "no room\n"


def test_a_later_stage_waits_until_the_first_answers(supervised: Callable[..., Supervised]) -> None:
    answers = "answers=lambda: Path('ready').exists()"
    run = supervised(f"[[part('node', 'serve()', {answers})], [part('later', 'serve()')]]")
    run.wait_for(lambda: run.names("up") == ["node"])
    (run.folder / "ready").touch()
    run.wait_for(lambda: run.names("up") == ["node", "later"])
