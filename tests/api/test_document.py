"""The document is true: what it allows is answered as it says, and what it does not allow is refused as it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from api_servers import Api
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

from schemathesis.specs.openapi.checks import (  # isort: skip
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 3  # of each kind and operation; `schemathesis run` tries more
ENDLESS = "/api/v1/crawl-jobs/{job}/events"


@pytest.fixture
def session(ada: httpx.Client) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = ada.headers["Authorization"]
        yield session


@pytest.fixture
def known(ada: httpx.Client) -> dict[str, Any]:
    """What there is to ask about."""
    project = ada.post("projects/", json={"name": "Mine"}).json()["id"]
    wanted = {"keywords": ["otter"], "max_images": 5, "project": project}
    return {"project": project, "job": ada.post("crawl-jobs/", json=wanted).json()["id"]}


@pytest.mark.parametrize("mode", GenerationMode)
def test_whatever_is_asked_is_answered_as_the_document_says(
    api: Api, session: requests.Session, known: dict[str, Any], mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 30
    for operation in operations:
        if operation.path == ENDLESS:
            continue
        ids = {name: value for name, value in known.items() if f"{{{name}}}" in operation.path}
        there = {"path_parameters": ids} if ids and mode is GenerationMode.POSITIVE else {}

        @settings(max_examples=EXAMPLES, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(mode, **there))
        def ask(case: Any) -> None:
            answer = case.call(session=session, timeout=30)
            case.validate_response(answer, checks=CHECKS)

        with suppress(Unsatisfiable):  # nothing can be wrong with a request that has no parameters
            ask()
