from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from pixcrawler import answers, imaging
from pixcrawler.errors import NotAnImage
from pixcrawler.inspectors import Inspectors
from pixcrawler.jobs import Reason
from tests.bombs import bombs
from tests.pictures import encoded, photo, png, webp_bomb

ROOT = Path(__file__).parents[1]
GOOD = encoded(photo(0, (200, 150)))
PID = b"__import__('os').getpid()"
SLOW_PID = b"(__import__('time').sleep(0.2), __import__('os').getpid())[1]"  # so that another worker takes the next
BLOCKED = b"[*map(int, __import__('signal').pthread_sigmask(0, []))]"
FILES = b"[*map(__import__('os').path.realpath, __import__('glob').glob('/proc/self/fd/*'))]"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits of workers need Linux")

# `eval` and `exec` are importable functions of one `bytes`, like `imaging.inspect`.


@asynccontextmanager
async def running(workers: int = 2, seconds: float = 60, cpu_seconds: float = 60) -> AsyncIterator[Inspectors]:
    inspectors = Inspectors(workers, seconds, cpu_seconds)
    inspectors.start()
    try:
        yield inspectors
    finally:
        await inspectors.close()


async def refusal(answer: Awaitable[object]) -> str:
    with pytest.raises(NotAnImage) as caught:
        await answer
    return caught.value.reason


def test_finds_what_imaging_finds() -> None:
    async def look() -> None:
        async with running() as inspectors:
            assert await inspectors.inspect(GOOD) == imaging.inspect(GOOD)
            assert await refusal(inspectors.inspect(b"<html>")) == Reason.NOT_AN_IMAGE
            assert await refusal(inspectors.inspect(GOOD[:-9])) == Reason.DAMAGED
            assert await refusal(inspectors.inspect(webp_bomb())) == Reason.BOMB

    asyncio.run(look())


def test_starts_by_itself_and_works_in_several_processes() -> None:
    async def look() -> set[int]:
        inspectors = Inspectors(workers=2)
        try:
            return await pids(inspectors)
        finally:
            await inspectors.close()

    assert len(asyncio.run(look()) - {os.getpid()}) == 2


@pytest.mark.parametrize("end", ["os.abort()", "os.kill(os.getpid(), 11)", "os._exit(3)"])
def test_a_death_blames_one_picture_only(end: str) -> None:
    async def look() -> None:
        async with running() as inspectors:
            deadly, *others = await asyncio.gather(
                inspectors.run(exec, f"import os; {end}".encode()),
                *(inspectors.inspect(GOOD) for _ in range(20)),
                return_exceptions=True,
            )
            assert isinstance(deadly, NotAnImage)
            assert deadly.reason == Reason.CRASHED
            assert others == [imaging.inspect(GOOD)] * 20

    asyncio.run(look())


@pytest.mark.parametrize("deaf", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"])
def test_an_endless_decoding_is_ended_and_called_a_bomb(deaf: str) -> None:
    async def look() -> None:
        async with running(seconds=2) as inspectors:
            endless, other = await asyncio.gather(
                refusal(inspectors.run(exec, f"{deaf}while True: pass".encode())), inspectors.inspect(GOOD)
            )
            assert endless == Reason.BOMB
            assert other == await inspectors.inspect(GOOD)

    asyncio.run(look())


MISBEHAVIOUR = {
    "forks": ("os.fork()", Reason.CRASHED),
    "runs a program": ("os.posix_spawn('/bin/touch', ['touch', NEW], {})", Reason.CRASHED),
    "runs a shell": ("os.system('touch ' + NEW)", Reason.CRASHED),
    "writes 1 GB": ("open(NEW, 'wb').write(bytes(10**9))", Reason.CRASHED),
    "writes into a file": ("open(OLD, 'r+b').write(b'x')", Reason.CRASHED),
    "empties a file": ("os.truncate(OLD, 0)", Reason.CRASHED),
    "makes a folder": ("os.mkdir(NEW)", Reason.CRASHED),
    "links": ("os.symlink(OLD, NEW)", Reason.CRASHED),
    "deletes": ("os.unlink(OLD)", Reason.CRASHED),
    "renames": ("os.rename(OLD, NEW)", Reason.CRASHED),
    "changes rights": ("os.chmod(OLD, 0o777)", Reason.CRASHED),
    "opens a socket": ("socket.create_connection(('127.0.0.1', PORT))", Reason.CRASHED),
    "kills its crawl": ("os.kill(CRAWL, signal.SIGKILL)", Reason.CRASHED),
    "signals to its crawl": ("libc.tgkill(CRAWL, CRAWL, signal.SIGKILL)", Reason.CRASHED),
    "traces": ("libc.ptrace(16, CRAWL, 0, 0)", Reason.CRASHED),
    "aborts": ("os.abort()", Reason.CRASHED),
    "reads at zero": ("ctypes.string_at(0)", Reason.CRASHED),
    "takes 4 GB": ("bytearray(4 * 1024**3)", Reason.BOMB),
    "computes without end": ("sum(range(10**15))", Reason.BOMB),
    "waits without end": ("time.sleep(10**6)", Reason.BOMB),
    "waits deafly": ("[signal.signal(n, signal.SIG_IGN) for n in (15, 24)], time.sleep(10**6)", Reason.BOMB),
}


@linux_only
@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_misbehaviour_costs_one_picture(name: str, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"as it was")
    code, expected = MISBEHAVIOUR[name]
    modules = "import ctypes, os, signal, socket, time\nlibc = ctypes.CDLL(None)\n"

    async def look() -> None:
        connections: list[object] = []
        server = await asyncio.start_server(lambda *ends: connections.append(ends), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        places = f"NEW, OLD, PORT, CRAWL = {str(tmp_path / 'new')!r}, {str(old)!r}, {port}, {os.getpid()}\n"
        async with server, running(seconds=4, cpu_seconds=1) as inspectors:
            before = await pids(inspectors)
            others = asyncio.gather(*(inspectors.inspect(GOOD) for _ in range(8)))
            assert await refusal(inspectors.run(exec, (modules + places + code).encode())) == expected
            blamed = time.monotonic()
            assert await inspectors.inspect(GOOD) == imaging.inspect(GOOD)
            assert len(await pids(inspectors)) == 2
            assert time.monotonic() - blamed < 2
            assert await others == [imaging.inspect(GOOD)] * 8
            assert len(before - await pids(inspectors)) <= 1
            fork_server = psutil.Process(next(iter(await pids(inspectors)))).parent()
            assert not [child for worker in fork_server.children() for child in worker.children()]
        assert not connections

    asyncio.run(look())
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert old.read_bytes() == b"as it was"
    assert not old.stat().st_mode & stat.S_IWOTH


def test_a_worker_that_a_picture_has_taken_over_makes_the_crawl_do_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    said = [
        f"type('X', (), {{'__reduce__': lambda self: (__import__('os').mkdir, ({str(made)!r},))}})()",
        "__import__('signal').SIGINT",
        "exec('from pixcrawler.errors import LeaseLost; raise LeaseLost')",
        "exec('from pixcrawler.errors import NotAnImage; raise NotAnImage(\\'kept\\', \\'\\')')",
        "NotImplemented",
    ]

    async def look() -> None:
        async with running() as inspectors:
            for answer in said:
                assert await refusal(inspectors.run(eval, answer.encode(), answers.checked)) == Reason.CRASHED
            assert await inspectors.inspect(GOOD) == imaging.inspect(GOOD)

    asyncio.run(look())
    assert not made.exists()


@linux_only
def test_reading_and_late_imports_are_no_misbehaviour() -> None:
    async def look() -> None:
        async with running(workers=1) as inspectors:
            assert await inspectors.run(eval, b"open('/proc/self/comm').read()")
            await inspectors.run(exec, b"import xml.dom.minidom, wave, sqlite3")
            with pytest.raises(ZeroDivisionError):
                await inspectors.run(eval, b"1 / 0")

    asyncio.run(look())


@linux_only
def test_no_bomb_takes_what_a_large_picture_takes() -> None:
    large = png(8000, 6000, bytes(24001 * 6000), color=2)

    async def look() -> None:
        async with running(workers=1) as inspectors:

            async def taken() -> tuple[float, int]:
                """Seconds of CPU and the most bytes so far."""
                used = await inspectors.run(eval, b"tuple(__import__('resource').getrusage(0))")
                return used[0] + used[1], used[2]

            await inspectors.inspect(GOOD)
            _, peak_at_first = await taken()
            costs = {}
            for name, body in bombs().items():
                before, _ = await taken()
                assert await refusal(inspectors.inspect(body)) == Reason.BOMB
                after, peak = await taken()
                costs[name] = after - before
            before, _ = await taken()
            assert (await inspectors.inspect(large)).width == 8000
            after, peak_at_last = await taken()
            assert peak - peak_at_first < peak_at_last - peak_at_first
            assert max(costs.values()) < after - before

    asyncio.run(look())


@linux_only
def test_each_picture_has_its_own_time() -> None:
    async def look() -> None:
        inspectors = Inspectors(1, seconds=60, cpu_seconds=1)
        computing = b"import time; end = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
        for _ in range(5):
            assert await inspectors.run(exec, computing) is None
        await inspectors.close()

    asyncio.run(look())


@linux_only
def test_a_worker_inherits_no_socket_of_the_crawl() -> None:
    async def look() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        os.set_inheritable(server.sockets[0].fileno(), True)
        async with server, running() as inspectors:
            files = await inspectors.run(eval, FILES)
            assert len([file for file in files if "socket:" in file]) == 1  # its own

    asyncio.run(look())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_is_left_to_the_crawl() -> None:
    async def look() -> None:
        async with running(workers=1) as inspectors:
            pid = await inspectors.run(eval, PID)
            assert signal.SIGINT in await inspectors.run(eval, BLOCKED)  # from its first instruction on
            os.kill(pid, signal.SIGINT)
            assert await inspectors.inspect(GOOD)
            assert await inspectors.run(eval, PID) == pid

    asyncio.run(look())


@pytest.mark.parametrize("victims", [1, 2])
def test_idle_workers_that_are_killed_are_replaced(victims: int) -> None:
    async def look() -> None:
        async with running(workers=2) as inspectors:
            killed = list(await pids(inspectors))[:victims]
            for pid in killed:
                psutil.Process(pid).kill()
            assert await asyncio.gather(*(inspectors.inspect(GOOD) for _ in range(20))) == [imaging.inspect(GOOD)] * 20
            assert (await pids(inspectors)).isdisjoint(killed)

    asyncio.run(look())


@linux_only
def test_the_death_of_the_fork_server_is_survived() -> None:
    async def look() -> None:
        async with running(workers=2) as inspectors:
            before = [psutil.Process(pid) for pid in await pids(inspectors)]
            fork_server = before[0].parent()
            fork_server.kill()
            await asyncio.to_thread(until_dead, fork_server)
            assert await inspectors.inspect(GOOD) == imaging.inspect(GOOD)
            before[0].kill()
            assert len(await pids(inspectors) - {before[0].pid}) == 2
        assert psutil.wait_procs(before, timeout=60)[1] == []

    asyncio.run(look())


def test_closing_waits_for_the_last_picture_without_stopping_the_loop() -> None:
    async def look() -> None:
        inspectors = Inspectors(workers=2)
        workers = [psutil.Process(pid) for pid in await pids(inspectors)]
        pictures = [asyncio.create_task(inspectors.run(eval, SLOW_PID)) for _ in range(6)]
        await asyncio.sleep(0)
        closing, turns = asyncio.create_task(inspectors.close()), 0
        while not closing.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert all(picture.result() for picture in pictures)
        assert turns > 10
        assert not any(worker.is_running() for worker in workers)

    asyncio.run(look())


def test_closing_what_never_started_and_looking_after_closing() -> None:
    async def look() -> None:
        inspectors = Inspectors()
        await inspectors.close()
        with pytest.raises(RuntimeError):
            await inspectors.inspect(GOOD)

    asyncio.run(look())


def until_dead(process: psutil.Process) -> None:
    """Waits, and leaves what is left of it to its parent."""
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


async def pids(inspectors: Inspectors) -> set[int]:
    """The processes of a pool of two."""
    found: set[int] = set()
    while len(found) < 2:
        found |= set(await asyncio.gather(*(inspectors.run(eval, SLOW_PID) for _ in range(2))))
    return found


BROKEN = """
import asyncio, multiprocessing
from pixcrawler.errors import PixCrawlerError
from pixcrawler.inspectors import Inspectors

async def crawl():
    inspectors = Inspectors()
    try:
        await inspectors.inspect(b"")
    except PixCrawlerError as error:
        print(error)
    await inspectors.close()

multiprocessing.set_executable("/nonexistent/python")
asyncio.run(crawl())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows fails elsewhere")
def test_workers_that_cannot_start_are_named_in_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN], cwd=ROOT, capture_output=True, text=True)

    assert done.stdout.startswith("The inspection workers do not start: ")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)


CRAWL = """
import asyncio, sys
from pixcrawler.inspectors import Inspectors

async def crawl():
    inspectors = Inspectors(workers=2)
    pids = await asyncio.gather(*(inspectors.run(eval, {slow_pid!r}) for _ in range(2)))
    for _ in pids:
        asyncio.create_task(inspectors.run(exec, b"while True: pass"))
    print(*pids, flush=True)
    await asyncio.Event().wait()

asyncio.run(crawl())
"""


@linux_only
def test_workers_end_with_a_killed_crawl_and_let_go_of_its_output() -> None:
    script = CRAWL.format(slow_pid=SLOW_PID)
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=-1, stderr=-1) as crawl:
        assert crawl.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in crawl.stdout.readline().split()]
        family = psutil.Process(crawl.pid).children(recursive=True)
        crawl.kill()
        crawl.communicate(timeout=60)  # returns when nobody holds the pipes any more

    assert len(workers) == 2
    assert psutil.wait_procs([*workers, *family], timeout=60)[1] == []


SPIDER = """
import json, pathlib, sys
import scrapy
from pixcrawler.inspectors import Inspectors

class LookingSpider(scrapy.Spider):
    name = "looking"
    custom_settings = {"TWISTED_REACTOR": "twisted.internet.asyncioreactor.AsyncioSelectorReactor"}

    async def start(self):
        inspectors = Inspectors(workers=2)
        inspectors.start()
        found = await inspectors.inspect(pathlib.Path(self.picture).read_bytes())
        modules = await inspectors.run(eval, b"sorted(__import__('sys').modules)")
        await inspectors.close()
        pathlib.Path(self.answer).write_text(json.dumps({"sha256": found.sha256, "modules": modules}))
        return
        yield
"""
SCRIPT = """
import sys
from pathlib import Path
from scrapy.cmdline import execute

with Path(sys.argv[0]).with_suffix(".log").open("a") as log:
    print(__name__, file=log)
if __name__ == "__main__":
    sys.exit(execute())
"""


def test_a_crawl_by_the_scrapy_script_is_not_imported_again(tmp_path: Path) -> None:
    script, spider, picture, answer = (tmp_path / name for name in ("crawl.py", "looking.py", "good.jpg", "answer"))
    script.write_text(SCRIPT)
    spider.write_text(SPIDER)
    picture.write_bytes(GOOD)
    command = [script, "runspider", spider, "-a", f"picture={picture}", "-a", f"answer={answer}", "-L", "WARNING"]
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    path.pop("SCRAPY_SETTINGS_MODULE", None)  # Scrapy leaves it behind where settings were read

    done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=path, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = json.loads(answer.read_text())
    assert found["sha256"] == imaging.inspect(GOOD).sha256
    assert not {"scrapy", "twisted"} & set(found["modules"])
    assert script.with_suffix(".log").read_text().split() == ["__main__"]
