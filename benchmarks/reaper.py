"""Runs a command and prints its wall seconds, the CPU seconds of all its processes, and its status, as JSON.

Workers that outlive the command are adopted and waited for, so that their time counts too. Linux only.
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

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    began = time.monotonic()
    status = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
    seconds = time.monotonic() - began
    with suppress(ChildProcessError):
        while True:
            os.wait()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"status": status, "seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime}))
