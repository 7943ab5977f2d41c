"""Other servers than the embedded one: Debian's PostgreSQL, and pgbouncer in transaction mode in front of any.

`python -m tests.servers postgresql|pooler …` runs pytest, with the arguments that follow, on such a server.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pixcrawler.db.engine import SERVER_SETTINGS
from pixcrawler.services import free_port

SERVICE_USER = "postgres"  # Debian has made it
START_SECONDS = 30.0
STOP_SECONDS = 30.0

# Small enough to be shared by all, large enough for every test database to have two at once.
CLUSTER = {
    "listen_addresses": "",
    "max_connections": "200",
    "timezone": "UTC",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}

# No `ignore_startup_parameters`: an `options` in the start-up packet is refused, as Supabase's pooler may do.
POOLER = """
[databases]
* = host={host} port={port} auth_user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
max_client_conn = {clients}
default_pool_size = 15
server_idle_timeout = 10
"""


@contextmanager
def postgresql() -> Iterator[str]:
    """The newest PostgreSQL that Debian has installed, with a new cluster; the URL of its database `postgres`."""
    user = _user(SERVICE_USER)
    with _folder(user) as folder:
        programs = _programs()
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--no-sync"]
        subprocess.run([*initdb, "--locale=C.UTF-8", "--encoding=UTF8"], check=True, stdout=subprocess.DEVNULL, **user)
        (folder / "data" / "log").symlink_to(folder / "log")  # where the embedded server has it, for tests that read it
        settings = [word for name, value in CLUSTER.items() for word in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(folder / "data"), "-k", str(folder), *settings]
        url = f"postgresql://postgres@/postgres?host={folder}"
        with _running(command, folder, url, signal.SIGINT, user):
            yield url


def bring_settings(url: str, where: str = "") -> None:
    """Lets the role say what we cannot at the start of a session behind a pooler, as docs/connections.md asks for.

    `where` is empty, or "IN DATABASE …".
    """
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in SERVER_SETTINGS.items():
            connection.execute(f"ALTER ROLE CURRENT_USER {where} SET {name} = '{value}'")  # type: ignore[arg-type]


@contextmanager
def pooler(url: str, *, clients: int = 500) -> Iterator[str]:
    """A pgbouncer in front of the server at `url`, which knows no passwords; the same database through it."""
    parts = conninfo_to_dict(url)
    place = {"host": parts["host"], "port": parts.get("port", 5432)}
    user = _owner(Path(str(place["host"])))
    with _folder(user) as folder:
        port = free_port()
        (folder / "users").write_text('"postgres" ""\n')
        (folder / "pgbouncer.ini").write_text(POOLER.format(**place, folder=folder, listen_port=port, clients=clients))
        pooled = f"postgresql://postgres@/{parts['dbname']}?host=127.0.0.1&port={port}"
        command = [_pgbouncer(), "--quiet", str(folder / "pgbouncer.ini")]
        with _running(command, folder, pooled, signal.SIGTERM, user):
            yield pooled


@contextmanager
def _folder(user: Mapping[str, int]) -> Iterator[Path]:
    """A new folder of a user's, short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="pixcrawler-server-", dir="/tmp"))
    try:
        if user:
            os.chown(folder, user["user"], user["group"])
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(
    command: list[str], folder: Path, url: str, farewell: signal.Signals, user: Mapping[str, int]
) -> Iterator[None]:
    """A server, from when it answers at `url` until it has ended."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **user
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not start: {(folder / 'log').read_text()}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(farewell)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _user(name: str) -> dict[str, int]:
    """What `subprocess` needs to become a user: nothing, unless we are root, as whom neither server runs."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid}


def _owner(sockets: Path) -> dict[str, int]:
    """Whose a server's folder of sockets is: nobody else may use those of the embedded server."""
    return _user(sockets.owner() if sockets.is_absolute() else SERVICE_USER)


def _programs() -> Path:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if not versions:
        raise RuntimeError("no PostgreSQL (Debian: apt install postgresql)")
    return versions[-1]


def _pgbouncer() -> str:
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise RuntimeError("no pgbouncer (Debian: apt install pgbouncer)")
    return found


def main(server: str, *arguments: str) -> int:
    """Runs pytest on a server; its status."""
    with ExitStack() as stack:
        url = direct = stack.enter_context(postgresql())
        if server == "pooler":
            bring_settings(direct)
            url = stack.enter_context(pooler(direct))
        env = {**os.environ, "DATABASE_URL": url, "DIRECT_DATABASE_URL": direct}
        tests = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], env=env)
        while True:
            with suppress(KeyboardInterrupt):  # pytest has heard Ctrl-C too, and needs its server to clear up
                return tests.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
