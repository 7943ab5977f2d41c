"""The embedded PostgreSQL starts with its first user, stops with its last, and survives what people do to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from pixcrawler.config import config
from pixcrawler.db import cluster
from pixcrawler.db.embedded import EmbeddedServer, database
from pixcrawler.db.schema import LOCAL_USER
from pixcrawler.errors import UsageError

ROOT = Path(__file__).parents[2]

USER = """
import sys
from pathlib import Path
from pixcrawler.db.embedded import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A data folder with nothing in it, and a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="pixcrawler-tests-") as name:
        yield Path(name)
        assert server_process(Path(name)) is None


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pixcrawler-tests-") as name:
        with EmbeddedServer(Path(name)):
            pass
        yield Path(name)


@pytest.fixture
def folder(made: Path) -> Iterator[Path]:
    """A data folder with a PostgreSQL that was made before and does not run."""
    yield made
    assert server_process(made) is None


def server_process(folder: Path) -> psutil.Process | None:
    data = str(folder.resolve() / "postgres" / "data")
    for process in psutil.process_iter(["name", "cwd", "ppid"]):
        if process.info["name"] == "postgres" and process.info["cwd"] == data and process.info["ppid"] == 1:
            return process
    return None


def answer(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]


class User:
    """Another process that uses the server until told to leave."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", USER, str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def url(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def leave(self) -> str:
        """Returns what it said on stderr."""
        _, stderr = self._process.communicate("\n")
        assert self._process.returncode == 0, stderr
        return stderr

    def interrupt(self) -> None:
        """Ctrl-C: to all processes of the terminal's foreground group."""
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.communicate()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@contextmanager
def users(folder: Path, number: int) -> Iterator[list[User]]:
    started = [User(folder) for _ in range(number)]
    try:
        yield started
    finally:
        for user in started:
            user.kill()
        with EmbeddedServer(folder):
            pass


def test_it_starts_answers_and_is_gone_afterwards(fresh: Path) -> None:
    with EmbeddedServer(fresh) as url:
        assert answer(url, "SELECT current_setting('server_version_num')::int >= 180000") is True
        assert server_process(fresh) is not None
    assert server_process(fresh) is None


def test_rows_are_there_the_next_time(folder: Path) -> None:
    with EmbeddedServer(folder) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    with EmbeddedServer(folder) as url:
        assert answer(url, "SELECT number FROM kept") == 7


def test_it_listens_on_a_private_socket_only(folder: Path) -> None:
    with EmbeddedServer(folder) as url:
        assert answer(url, "SHOW listen_addresses") == ""
        socket = Path(psycopg.conninfo.conninfo_to_dict(url)["host"]) / cluster.SOCKET
        assert socket.stat().st_mode & 0o077 == 0
        process = server_process(folder)
        assert process is not None
        assert [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []


def test_it_never_runs_as_root(folder: Path) -> None:
    with EmbeddedServer(folder):
        process = server_process(folder)
        assert process is not None
        assert process.uids().effective != 0


def test_two_users_in_one_process_and_the_last_one_stops_it(folder: Path) -> None:
    with EmbeddedServer(folder) as first:
        with EmbeddedServer(folder) as second:
            assert first == second
        assert answer(first, "SELECT 1") == 1


def test_processes_that_come_at_once_share_one_server(folder: Path) -> None:
    with users(folder, 3) as (first, second, third):
        urls = {first.url(), second.url(), third.url()}
        assert len(urls) == 1
        url = urls.pop()
        process = server_process(folder)
        assert first.leave() == ""
        assert second.leave() == ""
        assert answer(url, "SELECT 1") == 1
        assert server_process(folder) == process
        assert third.leave() == ""
        assert server_process(folder) is None


def test_a_killed_user_is_forgotten_when_the_next_one_leaves(folder: Path) -> None:
    with users(folder, 1) as (killed,):
        killed.url()
        killed.kill()
        survivor = server_process(folder)
        assert survivor is not None
        with users(folder, 1) as (heir,):
            heir.url()
            assert server_process(folder) == survivor
            heir.leave()
            assert server_process(folder) is None


def test_a_killed_user_takes_the_server_from_nobody(folder: Path) -> None:
    with users(folder, 2) as (killed, other):
        url = killed.url()
        assert other.url() == url
        killed.kill()
        assert answer(url, "SELECT 1") == 1


def test_ctrl_c_of_the_one_who_started_it_takes_it_from_nobody(folder: Path) -> None:
    with users(folder, 1) as (starter,):
        url = starter.url()
        with users(folder, 1) as (other,):
            other.url()
            starter.interrupt()
            assert answer(url, "SELECT 1") == 1
            other.leave()


def test_ctrl_c_of_the_last_one_stops_it_in_order(folder: Path) -> None:
    with users(folder, 1) as (user,):
        user.url()
        user.interrupt()
        assert server_process(folder) is None
        assert "database system is shut down" in (folder / "postgres/data/log").read_text()


def test_ctrl_c_while_it_is_made_leaves_nothing_running_and_nothing_broken(fresh: Path) -> None:
    with users(fresh, 1) as (user,):
        wait_for((fresh / "postgres" / "unfinished").exists)
        user.interrupt()
        assert server_process(fresh) is None
        with EmbeddedServer(fresh) as url:
            assert answer(url, "SELECT 1") == 1


def test_a_kill_while_it_is_made_is_made_good_by_the_next(fresh: Path) -> None:
    with users(fresh, 1) as (user,):
        wait_for((fresh / "postgres" / "unfinished").exists)
        user.kill()
        with EmbeddedServer(fresh) as url:
            assert answer(url, "SELECT 1") == 1


def test_a_crash_of_the_machine_is_recovered_from(folder: Path) -> None:
    with EmbeddedServer(folder) as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE recovered AS SELECT 7 AS number")
        crash(folder)
    with EmbeddedServer(folder) as url:
        assert answer(url, "SELECT number FROM recovered") == 7


def test_a_process_number_used_by_another_program_is_not_mistaken_for_the_server(folder: Path) -> None:
    with EmbeddedServer(folder):
        number_file = folder / "postgres/data/postmaster.pid"
        left = number_file.read_text()
        owner = number_file.stat()
        crash(folder)
    number_file.write_text("\n".join([str(os.getpid()), *left.splitlines()[1:]]) + "\n")
    os.chown(number_file, owner.st_uid, owner.st_gid)
    with EmbeddedServer(folder) as url:
        assert answer(url, "SELECT 1") == 1


def crash(folder: Path) -> None:
    server = server_process(folder)
    assert server is not None
    everything = [server, *server.children(recursive=True)]
    for process in everything:
        process.kill()
    psutil.wait_procs(everything)


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


@pytest.mark.parametrize("name", ["a b", "it's", 'quoted"', "comma,comma", "ünï", "$HOME", "`", "x" * 150])
def test_it_works_wherever_it_is_moved(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    (folder / "postgres").rename(folder / name / "postgres")
    with EmbeddedServer(folder / name) as url:
        assert answer(url, "SELECT 1") == 1
        sockets = Path(psycopg.conninfo.conninfo_to_dict(url)["host"])
        assert sockets.stat().st_mode & 0o077 == 0
    assert sockets == folder / name / "postgres/data" or not sockets.exists()
    (folder / name / "postgres").rename(folder / "postgres")


def test_any_folder_name_will_do(fresh: Path) -> None:
    with EmbeddedServer(fresh / 'it\'s "my" $HOME') as url:
        assert answer(url, "SELECT 1") == 1


def test_a_link_to_the_folder_leads_to_the_same_server(folder: Path) -> None:
    (folder / "link").symlink_to(folder)
    with EmbeddedServer(folder) as url, EmbeddedServer(folder / "link") as same:
        assert url == same


@pytest.mark.parametrize("where", ["/proc/data", "{file}", "{file}/below"])
def test_a_folder_that_cannot_be_written_is_one_line(fresh: Path, where: str) -> None:
    file = fresh / "file"
    file.touch()
    with pytest.raises(UsageError, match=r"^PIXCRAWLER_DATA_DIR: cannot use [^\n]*$"):
        EmbeddedServer(Path(where.format(file=file))).__enter__()


def test_files_that_are_no_cluster_are_one_line_and_stay(fresh: Path) -> None:
    mine = fresh / "postgres/data/mine"
    mine.parent.mkdir(parents=True)
    mine.touch()
    with pytest.raises(UsageError, match=r"^the embedded PostgreSQL in [^\n]* does not start: [^\n]+$"):
        EmbeddedServer(fresh).__enter__()
    assert mine.exists()


# The database to use


def test_the_first_use_makes_everything(fresh: Path, settings_env: Callable[..., None]) -> None:
    settings_env(PIXCRAWLER_DATA_DIR=str(fresh))
    for _ in range(2):
        with database(config()) as url:
            assert answer(url, "SELECT user_id FROM public.projects") == LOCAL_USER
            assert answer(url, "SELECT count(*) FROM crawler.jobs") == 0


def test_who_was_given_an_address_starts_and_stops_nothing(folder: Path, settings_env: Callable[..., None]) -> None:
    with EmbeddedServer(folder) as given:
        settings_env(PIXCRAWLER_DATA_DIR=str(folder / "unused"), DATABASE_URL=given)
        with database(config()) as url:
            assert url == given
        assert not (folder / "unused").exists()
        assert answer(given, "SELECT 1") == 1


def test_nothing_is_said_but_by_us(folder: Path) -> None:
    """Neither warnings at import nor logs of a start that fails."""
    script = (
        "from pathlib import Path; from pixcrawler.db.embedded import EmbeddedServer; EmbeddedServer(Path('/proc'))"
    )
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
