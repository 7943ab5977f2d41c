"""Whom a node answers, to what, and with what."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest
from scrapyd_node.nodes import PATIENCE, Answer, Node, Start
from scrapyd_node.played_runner import GOOD, QUICK

GOOD_JOB = {"project": "pixcrawler", "spider": "openverse", "jobid": f"{QUICK}-1"}
UNKNOWN = ["", "jobs", "items/", "addversion.json", "delversion.json", "delproject.json", "listprojects.json"]
UNKNOWN += [
    "listversions.json",
    "listspiders.json?project=pixcrawler",
    "nothing",
    "schedule.json/",
    "status.json/x?job=1-1",
]
KNOWN = [
    "daemonstatus.json",
    "metrics",
    "listjobs.json",
    "health.json",
    "crawljobs.json",
    "crawljob.json?id=1",
    "logs/",
    "jobs",
]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all tests that leave it as it was."""
    node = Node(tmp_path_factory.mktemp("shared"), {"allowed_hosts": "node1.example, Node2.example"}, {})
    try:
        node.start()
        yield node
    finally:
        node.end()


def assert_error(answer: Answer, status: int, about: str = "") -> None:
    assert answer.status == status, answer.text
    assert answer.data.keys() == {"status", "message", "node_name"}
    assert (answer.data["status"], answer.data["node_name"]) == ("error", "here")
    assert about in answer.data["message"]
    assert "Traceback" not in answer.text


# What there is


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_anything_else_is_not_there(node: Node, method: str, path: str) -> None:
    assert_error(node.ask(method, path), 404)


def test_an_upload_leaves_nothing(node: Node) -> None:
    egg = urlencode({"project": "pixcrawler", "version": "1", "egg": "PK"}).encode()
    assert_error(node.ask("POST", "addversion.json", egg), 404)
    assert not [path for path in node.folder.rglob("*") if path.suffix == ".egg" or path.name == "eggs"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "schedule.json"),
        ("GET", "cancel.json?project=pixcrawler&job=1-1"),
        ("HEAD", "schedule.json"),
        ("POST", "status.json"),
        ("POST", "health.json"),
        ("DELETE", "status.json"),
        ("PUT", "schedule.json"),
        *(("OPTIONS", path) for path in ("schedule.json", "daemonstatus.json", "logs/", "", "*")),
    ],
)
def test_questions_are_gets_and_orders_are_posts(node: Node, method: str, path: str) -> None:
    answer = node.ask(method, path)
    assert answer.status in (404, 405)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_logs_are_only_read(node: Node) -> None:
    (node.folder / "logs").mkdir(exist_ok=True)
    answer = node.post("logs/", {})
    assert_error(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD"


def test_head_answers_like_get_without_a_body(node: Node) -> None:
    answer = node.ask("HEAD", "daemonstatus.json")
    assert (answer.status, answer.text) == (200, "")


@pytest.mark.parametrize("path", [*KNOWN, "schedule.json"])
def test_no_answer_lets_web_pages_read_it(node: Node, path: str) -> None:
    for answer in (node.get(path), node.get(path, Origin="http://evil.example")):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_logs_are_plain_text_whatever_their_name(node: Node) -> None:
    folder = node.folder / "logs" / "pixcrawler" / "openverse"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1-9.html").write_text("<script>alert(1)</script>")
    (folder / "index.html").write_text("<script>alert(1)</script>")
    (node.folder / "secret").write_text("sesame")
    log = node.get("logs/pixcrawler/openverse/1-9.html")
    assert (log.status, log.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert log.headers["x-content-type-options"] == "nosniff"
    listing = node.get("logs/pixcrawler/openverse/")
    assert "1-9.html" in listing.text
    assert "<script>" not in listing.text
    for path in ("logs/nothing", "logs/../secret", "logs/%2e%2e/secret", "logs/..%2fsecret", "logs/pixcrawler/%00"):
        assert_error(node.get(path), 404)


# Who may ask


@pytest.mark.parametrize("host", ["evil.example", "evil.example:6800", "localhost.evil.example", "", "[::1", "node1"])
@pytest.mark.parametrize("path", ["daemonstatus.json", "schedule.json", "logs/", "jobs"])
def test_a_name_that_is_not_the_nodes_is_refused(node: Node, host: str, path: str) -> None:
    assert_error(node.get(path, Host=host), 403)
    assert_error(node.post(path, GOOD_JOB, Host=host), 403)


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:6800", "127.0.0.9", "10.1.2.3", "[::1]:6800", "node1.example:443", "NODE2.example"]
)
def test_addresses_and_names_of_the_node_are_answered(node: Node, host: str) -> None:
    assert node.get("daemonstatus.json", Host=host).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:6800", ""])
def test_web_pages_are_refused(node: Node, origin: str) -> None:
    assert_error(node.get("daemonstatus.json", Origin=origin), 403)
    assert_error(node.post("schedule.json", GOOD_JOB, Origin=origin), 403)
    assert node.state(GOOD_JOB["jobid"]) is None


def test_a_second_host_is_refused(node: Node) -> None:
    connection = HTTPConnection("127.0.0.1", node.port)
    connection.putrequest("GET", "/daemonstatus.json", skip_host=True)
    connection.putheader("Host", "localhost")
    connection.putheader("Host", "evil.example")
    connection.endheaders()
    assert Answer(connection).status in (400, 403)
    connection.close()


def test_without_the_password_everything_is_closed(scrapyd: Start) -> None:
    node = scrapyd(SCRAPYD_USERNAME="joe", SCRAPYD_PASSWORD="sesame")
    for auth in (None, ("joe", "wrong"), ("", "")):
        node.auth = auth
        for path in [*KNOWN, *UNKNOWN, "schedule.json"]:
            assert node.get(path).status == 401
            assert node.post(path, GOOD_JOB).status == 401
    node.auth = ("joe", "sesame")
    assert node.state(GOOD_JOB["jobid"]) is None
    assert_error(node.get("daemonstatus.json", Host="evil.example"), 403)
    assert "sesame" not in node.log


# What may be asked for


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"setting": "TELNETCONSOLE_HOST=0.0.0.0"}, "unknown argument 'setting'"),
        ({"_version": "1"}, "unknown argument '_version'"),
        ({"priority": "9"}, "unknown argument 'priority'"),
        ({"keywords": "otter"}, "unknown argument 'keywords'"),
        ({"base_url": "http://127.0.0.1"}, "unknown argument 'base_url'"),
        ({"a" * 200_000: "1"}, "unknown argument"),
        ({"project": "default"}, "project"),
        ({"project": "../x"}, "project"),
        ({"spider": "nothing"}, "spider: known are artic, baidu"),
        ({"spider": "../openverse"}, "spider"),
        ({"spider": "x" * 200_000}, "spider"),
        ({"jobid": "../../x"}, "jobid"),
        ({"jobid": "1-1/../2"}, "jobid"),
        ({"jobid": "1-1\0"}, "jobid"),
        ({"jobid": "1-1\n"}, "jobid"),
        ({"jobid": "٣-١"}, "jobid"),
        ({"jobid": ""}, "jobid"),
        ({"jobid": "1" * 200_000 + "-1"}, "jobid"),
        ({"jobid": ["1-1", "1-2"]}, "more than once"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_schedule_takes_three_arguments_and_no_nonsense(node: Node, change: dict[str, object], about: str) -> None:
    body = urlencode({**GOOD_JOB, **change}, doseq=True).encode()
    assert_error(node.ask("POST", "schedule.json", body), 400, about)
    assert node.get("daemonstatus.json").data["pending"] == 0


@pytest.mark.parametrize("missing", ["project", "spider", "jobid"])
def test_schedule_needs_all_three(node: Node, missing: str) -> None:
    assert_error(node.post("schedule.json", {**GOOD_JOB, missing: "x"} | {"jobid": "x"}), 400)
    values = {name: value for name, value in GOOD_JOB.items() if name != missing}
    assert_error(node.post("schedule.json", values), 400, f"'{missing}' is missing")


def test_other_bodies_are_refused(node: Node) -> None:
    text = json.dumps(GOOD_JOB).encode()
    assert_error(node.ask("POST", "schedule.json", text, Content_Type="application/json"), 400)
    assert_error(node.ask("POST", f"schedule.json?{urlencode(GOOD_JOB)}"), 400, "body")
    assert_error(node.ask("POST", "schedule.json", b"project=%ff&spider=x&jobid=1-1"), 400, "UTF-8")


@pytest.mark.parametrize(
    "query",
    ["status.json", "status.json?job=1-1&job=2-1", "status.json?job=1-1&x=1", "status.json?job=1-1&project=default"]
    + ["daemonstatus.json?x=1", "listjobs.json?project=../x", "crawljob.json", "crawljob.json?id=1&id=2"]
    + [f"crawljob.json?id={number}" for number in ("0", "-1", "1.5", "x", "9" * 30, "1%00", "2147483648", "")]
    + [f"crawljobs.json?limit={number}" for number in ("0", "-1", "x", "1001")]
    + ["crawljobs.json?status=asleep"],
)
def test_questions_take_their_arguments_only(node: Node, query: str) -> None:
    assert_error(node.get(query), 400)


def test_cancel_takes_three_signals(node: Node) -> None:
    for wrong in ("HUP", "9", "int", ""):
        assert_error(node.cancel("1-1", signal=wrong), 400, "signal: known are INT, TERM, KILL")
    assert node.cancel("5-5").data == {"status": "ok", "prevstate": None, "node_name": "here"}


def test_a_job_id_is_taken_once(scrapyd: Start) -> None:
    node = scrapyd(max_proc="1")
    quick, good, waiting = f"{QUICK}-1", f"{GOOD}-1", f"{GOOD}-2"
    assert node.schedule(quick).data == {"status": "ok", "jobid": quick, "node_name": "here"}
    node.until(lambda: node.state(quick) == "finished")
    node.run(good)
    node.schedule(waiting)
    for job, state in ((quick, "finished"), (good, "running"), (waiting, "pending")):
        assert_error(node.schedule(job), 409, f"job {job} is {state} already")
        assert node.state(job) == state
    listed = node.get("listjobs.json").data
    assert [[job["id"] for job in listed[state]] for state in ("pending", "running", "finished")] == [
        [waiting],
        [good],
        [quick],
    ]
    counts = node.get("daemonstatus.json").data
    assert [counts[state] for state in ("pending", "running", "finished")] == [1, 1, 1]
    assert node.told.count(next(line for line in node.told if line.startswith(f"started {quick}"))) == 1


def test_a_thousand_hostile_requests_cost_no_slot(scrapyd: Start) -> None:
    node = scrapyd()
    words = [
        "\0",
        "../../etc/passwd",
        "'; DROP TABLE jobs; --",
        "a\nb",
        '"',
        "ﷺ‮",
        "🦦" * 9,
        "setting=X=1",
        "-a",
        "x" * 300,
    ]
    words += ["%n%s", "{0.__class__}", "1-1/..", "-1", "1-", " 1-1", "1-1 ", "１-１", "9" * 19 + "-1", "1-" + "9" * 10]
    connection = HTTPConnection("127.0.0.1", node.port, timeout=30)
    statuses = []
    for field, word, extra in itertools.product(GOOD_JOB, words, range(17)):
        values = {**GOOD_JOB, "jobid": "1-1", field: word} | ({word: "1"} if extra == 0 else {})
        connection.request(
            "POST", "/schedule.json", urlencode(values), {"Content-Type": "application/x-www-form-urlencoded"}
        )
        statuses.append(Answer(connection).status)
    connection.request("POST", "/schedule.json", urlencode({**GOOD_JOB, "jobid": "1" * 300_000}))
    statuses.append(Answer(connection).status)
    connection.close()
    assert len(statuses) > 1000
    assert set(statuses) == {400}
    for n in range(2):
        node.run(f"{GOOD}-{n}")
    assert node.get("daemonstatus.json").data["running"] == 2
    assert "Unable to format" not in node.log


# Refusing to start


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "node1.example"])
def test_a_node_strangers_can_reach_needs_a_password(tmp_path: Path, address: str) -> None:
    node = Node(tmp_path, {"bind_address": address}, {})
    try:
        node.launch()
        assert node.process.wait(PATIENCE) == 2
    finally:
        node.end()
    said = [line for line in node.log.splitlines() if not line.startswith("20")]  # Twisted's lines begin with the time
    about = f"whoever reaches {address} could run crawls: set SCRAPYD_USERNAME and SCRAPYD_PASSWORD"
    assert said == [f"pixcrawler: scrapyd.conf: {about}"]


@pytest.mark.parametrize("options", [{"bind_address": "127.0.0.9"}, {"bind_address": "localhost"}])
def test_a_node_only_this_machine_can_reach_needs_none(scrapyd: Start, options: dict[str, str]) -> None:
    node = scrapyd(**options)
    assert node.get("daemonstatus.json").status == 200


WRONG = [
    ({}, {"SCRAPYD_USERNAME": "joe"}, "one of them is missing"),
    ({}, {"SCRAPYD_PASSWORD": "sesame"}, "one of them is missing"),
    ({}, {"SCRAPYD_USERNAME": "j:oe", "SCRAPYD_PASSWORD": "sesame"}, "colon"),
    ({}, {"SCRAPYD_HTTP_PORT": "http"}, "http_port"),
    ({"http_port": "99999"}, {}, "http_port"),
    ({"bind_address": ""}, {}, "neither an address"),
    ({"max_proc": "0"}, {}, "max_proc"),
    ({"max_proc": "many"}, {}, "max_proc"),
    ({"poll_interval": "0"}, {}, "poll_interval"),
    ({"logs_dir": "50%"}, {}, "%"),
    ({"dbs_dir": "/proc/nowhere"}, {}, "/proc/nowhere"),
    ({"launcher": "nothing.Here"}, {}, "nothing"),
    ({"launcher": "scrapyd.launcher.Launcher"}, {}, "launcher: must be pixcrawler"),
    ({"webroot": "scrapyd.website.Root"}, {}, "webroot: must be pixcrawler"),
    ({}, {"PIXCRAWLER_MIN_SIDE": "small"}, "PIXCRAWLER_MIN_SIDE"),
]
# One process for all of them; the folder has a good scrapyd.conf. Prints "<status> <what it said>" for each.
START_ALL = """
import contextlib, io, json, os, sys
from scrapyd.config import Config
from pixcrawler.config import config
from pixcrawler.scrapyd_node.app import application
for options, variables in json.load(sys.stdin):
    config.cache_clear()
    os.environ.update(variables)
    chosen = Config()
    chosen.cp.read_string("\\n".join(["[scrapyd]", *(f"{name} = {value}" for name, value in options.items())]))
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            application(chosen)
            status = 0
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, said.getvalue()]))
    for name in variables:
        del os.environ[name]
"""


def test_a_wrong_configuration_is_one_line(tmp_path: Path) -> None:
    node = Node(tmp_path, {}, {})
    given = json.dumps([({}, {}), *((options, variables) for options, variables, _ in WRONG)])
    command = [sys.executable, "-c", START_ALL]
    ended = subprocess.run(command, input=given, cwd=tmp_path, env=node.env, capture_output=True, text=True, timeout=60)
    assert ended.stderr == ""
    good, *refused = map(json.loads, ended.stdout.splitlines())
    assert good == [0, ""]
    for (status, said), (_, _, about) in zip(refused, WRONG, strict=True):
        assert (status, said.count("\n"), about in said, "sesame" in said) == (2, 1, True, False), said
