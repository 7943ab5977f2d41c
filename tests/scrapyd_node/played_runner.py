"""Stands in for `scrapy crawl` behind our runner. What it does is in its job id, `<scenario>-<n>`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from pixcrawler.scrapyd_node import runner

QUICK = 1  # ends at once
GOOD = 2  # ends in order when asked
BUSY = 3  # computes, and hears nothing but SIGKILL
FAMILY = 4  # busy, with a child of the kind
PARENT = 5  # ends at once; its child lives on and holds the output open
EMIGRANT = 6  # the same with a child in a session of its own, which nobody finds
WORKERS = 7  # busy in an inspection worker

DEAF = """
import signal
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
while True:
    pass
"""


def child(*, session: bool = False) -> None:
    process = subprocess.Popen([sys.executable, "-c", DEAF], start_new_session=session)
    tell(f"child {process.pid}")


def tell(what: str) -> None:
    with Path("told").open("a") as file:
        file.write(f"{what}\n")


def busy() -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    tell("busy")
    while True:
        pass


def good() -> None:
    def end(*_: object) -> None:
        tell("ended in order")
        sys.exit()

    signal.signal(signal.SIGINT, end)
    tell("good")
    while True:
        time.sleep(60)


def workers() -> None:
    from pixcrawler.inspectors import Inspectors

    async def work() -> None:
        inspectors = Inspectors(workers=2, seconds=600)
        pid = await inspectors.run(eval, b"__import__('os').getpid()")
        tell(f"worker {pid}")
        await inspectors.run(exec, b"while True: pass")

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(work())


def play() -> None:
    job = next(word.removeprefix("_job=") for word in sys.argv if word.startswith("_job="))
    scenario = int(job.split("-")[0])
    tell(f"started {job} {os.getpid()}")
    if scenario == GOOD:
        good()
    elif scenario == BUSY:
        busy()
    elif scenario == FAMILY:
        child()
        busy()
    elif scenario in (PARENT, EMIGRANT):
        child(session=scenario == EMIGRANT)
    elif scenario == WORKERS:
        workers()


if __name__ == "__main__":
    runner.execute = play
    runner.main()
