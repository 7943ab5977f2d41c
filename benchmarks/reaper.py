"""Runs commands side by side, `--` between them, and prints what they used together, as JSON.

That is wall seconds, CPU seconds of all their processes, and the status of the first that failed. Workers that outlive
their command are adopted and waited for, so that their time counts too. Linux only.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from itertools import groupby

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    commands = [list(words) for between, words in groupby(sys.argv[1:], "--".__eq__) if not between]
    began = time.monotonic()
    started = [subprocess.Popen(command, stdout=sys.stderr) for command in commands]
    status = next((code for code in [process.wait() for process in started] if code), 0)
    seconds = time.monotonic() - began
    with suppress(ChildProcessError):
        while True:
            os.wait()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"status": status, "seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime}))
