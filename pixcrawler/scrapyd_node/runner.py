"""What a crawl process runs first: it ties itself to its node, bounds what it may take, and becomes `scrapy crawl`."""

from __future__ import annotations

import os
import signal
import sys

COMMANDS = ("crawl", "list")
LAUNCHER = "SCRAPYD_LAUNCHER"  # the variable with the pid of the node that started us

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_NO_NEW_PRIVS = 38

GIBIBYTE = 2**30
LIMITS = {
    "CORE": 0,  # the memory of a crawl holds the password of the database
    "NOFILE": 1024,  # pictures in flight, their files and connections need a quarter of it
    "DATA": 4 * GIBIBYTE,  # bytes; 64 bodies of 25 MiB in flight, twice over, and what Python and its workers need
    "FSIZE": GIBIBYTE,  # bytes; a picture has 25 MiB, the log of a day far less than this
}


def main() -> None:
    """Runs `crawl` or `list`; ends with status 2 when asked for anything else."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(f"pixcrawler: nothing but {' and '.join(COMMANDS)} is run here", file=sys.stderr)
        raise SystemExit(2)
    confine()
    execute()


def confine() -> None:
    """Makes this process die with its node, gives it a process group and limits, and no way to more rights."""
    if sys.platform == "win32":
        return
    if sys.platform == "linux":
        _die_with_the_launcher()
    os.setpgid(0, 0)  # so that whatever it starts can be ended with it
    _limit()


def _die_with_the_launcher() -> None:
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # not SIGTERM: a crawl that computes does not hear it
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    launcher = os.environ.pop(LAUNCHER, None)
    if launcher is not None and os.getppid() != int(launcher):
        os._exit(1)  # it had died before it could take us along


def _limit() -> None:
    import resource

    for name, wanted in LIMITS.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (limit, limit))


def execute() -> None:
    """`scrapy`, without the eggs that Scrapyd's own runner looks for first."""
    from scrapy.cmdline import execute

    execute()


if __name__ == "__main__":
    main()
