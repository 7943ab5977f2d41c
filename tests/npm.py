"""Programs from npm that tests need: each in a folder with its lock file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

INSTALL_SECONDS = 100


def install(folder: Path) -> None:
    """Installs what the folder's lock file names, unless that is there; one process at a time."""
    if shutil.which("npm") is None:
        _unavailable("npm is not installed")
    installed = folder / "node_modules" / ".installed"  # holds the digest of the lock file that was followed
    with (folder / "package-lock.json").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        digest = hashlib.sha256(file.read()).hexdigest()
        if installed.exists() and installed.read_text() == digest:
            return
        done = subprocess.run(
            ["npm", "ci", "--loglevel=error"], cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
        if done.returncode:
            _unavailable(f"npm cannot install {folder}: {done.stderr.strip()}")
        installed.write_text(digest)


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
