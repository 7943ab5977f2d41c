"""Settings: read once, wrong ones named in one line, secrets never shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pixcrawler.config import config, source_names
from pixcrawler.errors import UsageError


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("PIXCRAWLER_MIN_SIDE", "small", "PIXCRAWLER_MIN_SIDE: "),
        ("PIXCRAWLER_STORAGE", "floppy", "PIXCRAWLER_STORAGE: "),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL: "),
        ("SCRAPYD_NODES", "127.0.0.1", "SCRAPYD_NODES: "),
        ("SCRAPYD_NODES", "http://127.0.0.1:6800#none", "SCRAPYD_NODES: "),
        ("PIXCRAWLER_FENCE_SECONDS", "60", "PIXCRAWLER_FENCE_SECONDS: "),
        ("PIXCRAWLER_LEASE_SECONDS", "20", "PIXCRAWLER_FENCE_SECONDS: "),
    ],
)
def test_a_wrong_setting_is_named(settings_env: Callable[..., None], name: str, value: str, complaint: str) -> None:
    settings_env(**{name: value})
    with pytest.raises(UsageError) as raised:
        config()
    assert str(raised.value).startswith(complaint)
    assert "\n" not in str(raised.value)


def test_secrets_are_not_shown(settings_env: Callable[..., None]) -> None:
    settings_env(DATABASE_URL="postgresql://me:hush@db/x", SCRAPYD_NODES="http://me:hush@127.0.0.1:6800#3")
    settings = config()
    assert "hush" not in repr(settings)
    assert "hush" not in repr(settings.nodes)
    [node] = settings.nodes
    assert (node.url, node.slots, node.username) == ("http://127.0.0.1:6800", 3, "me")
    assert node.password.get_secret_value() == "hush"


def test_every_source_is_known_by_its_file() -> None:
    assert source_names() == ("openverse", "urls")
