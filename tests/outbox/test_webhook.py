"""Webhooks as their receivers get them: signed, whole, and at one address only."""

from __future__ import annotations

import re
import socket
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from outbox.receivers import KEY, SECRET, Post, Receiver

from pixcrawler.jobs import Channel
from pixcrawler.outbox import webhook as module

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def posted(post: Post, **changes: Any) -> str:
    """Posts one notification, sends it, and tells its state."""
    post.message(post.owner(push_enabled=True), Channel.WEBHOOK, **changes)
    post.send()
    return str(post.rows()[0][0])


def is_genuine(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether the example in the documents accepts a request."""
    [example] = re.findall(r"```python\n(.*?)```", OPERATIONS.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    return bool(names["is_genuine"](secret, headers, body))


def test_the_signature_is_that_of_the_specification() -> None:
    signed = module.signature(
        b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_notification_is_a_signed_request(post: Post, hook: Receiver) -> None:
    owner = post.owner(push_enabled=True)
    post.message(owner, Channel.WEBHOOK, title="„Fertig“", category="crawl_job", action_url="/dashboard/projects/1")
    post.send()
    [(headers, body)] = hook.requests
    assert is_genuine(SECRET, headers, body)
    assert not is_genuine(SECRET, headers, body + b" ")
    assert not is_genuine(SECRET, headers | {"webhook-id": "msg_other"}, body)
    assert not is_genuine(SECRET, headers | {"webhook-timestamp": "1614265330"}, body)
    assert headers["content-type"] == "application/json"
    [content] = hook.bodies
    assert (content["id"], content["type"]) == (headers["webhook-id"], "crawl_job.success")
    assert content["data"] == {
        "user_id": str(owner),
        "id": 7,
        "type": "success",
        "title": "„Fertig“",
        "message": "all are ready",
        "category": "crawl_job",
        "action_url": "/dashboard/projects/1",
    }
    assert post.rows() == [("sent", 1, None)]


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_success_is_one(post: Post, hook: Receiver, status: int) -> None:
    hook.answers = [status]
    assert posted(post) == "sent"


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500, 503])
def test_all_else_is_tried_again_under_the_same_id(post: Post, hook: Receiver, status: int) -> None:
    hook.answers = [status, status]
    assert posted(post) == "pending"
    for _ in range(2):
        post.wait_is_over()
        post.send()
    assert post.rows() == [("sent", 3, None)]
    assert len(hook.requests) == 3  # redirects are not followed
    assert len({headers["webhook-id"] for headers, _ in hook.requests}) == 1


def test_a_receiver_that_is_gone_is_gone(post: Post, hook: Receiver) -> None:
    hook.answers = [410]
    assert posted(post) == "failed"
    assert post.rows() == [("failed", 1, "127.0.0.1 answered 410")]


def test_a_receiver_that_does_not_answer(post: Post, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)
    hook.hangs = True
    assert posted(post) == "pending"
    assert "did not answer" in post.rows()[0][2] or "Timeout" in post.rows()[0][2]


def test_an_answer_without_end_is_not_read(post: Post, hook: Receiver) -> None:
    hook.endless = True
    assert posted(post) == "sent"


def test_a_receiver_that_is_not_there(post: Post, settings_env: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/token-1234"
        settings_env(PIXCRAWLER_WEBHOOK_URL=url, PIXCRAWLER_WEBHOOK_SECRET=SECRET)
        assert posted(post) == "pending"
    assert post.rows()[0][2] == "127.0.0.1 cannot be reached: ConnectError"


def test_no_proxy_of_the_environment_is_asked(post: Post, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert posted(post) == "sent"


def test_another_key_signs_otherwise() -> None:
    assert module.signature(KEY, "msg_1", 1, b"{}") != module.signature(KEY[::-1], "msg_1", 1, b"{}")
