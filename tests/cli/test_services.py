import signal
from typing import Any

import pytest

from pixcrawler.services import free_port


def wait_for_word(process: Any, word: str) -> None:
    while word not in (line := process.stderr.readline()):
        assert line, process.wait()


@pytest.mark.parametrize(
    ("service", "word"), [("dispatcher", "dispatching"), ("exporter", "exporting"), ("api", "the API is at")]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_ends_in_order_when_asked(start: Any, service: str, word: str, number: int) -> None:
    process = start(service, PORT=str(free_port()))
    wait_for_word(process, word)
    process.send_signal(number)
    assert (process.wait(), process.stdout.read()) == (0, "")
    assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("service", ["dispatcher", "exporter", "api"])
def test_a_service_refuses_a_database_it_cannot_serve(start: Any, sql: Any, service: str) -> None:
    sql("ALTER TABLE public.images DROP COLUMN hash")
    process = start(service, PORT=str(free_port()))
    assert process.wait() == 2
    said = process.stderr.read()
    assert "images.hash" in said
    assert said.startswith("pixcrawler: ")
    assert said.count("\n") == 1
