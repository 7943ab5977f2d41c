"""Settings: read once, wrong ones named in one line, secrets never shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pixcrawler.config import config, crawl_environment, source_names
from pixcrawler.errors import UsageError
from pixcrawler.jobs import Channel


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("PIXCRAWLER_MIN_SIDE", "small", "PIXCRAWLER_MIN_SIDE: "),
        ("PIXCRAWLER_STORAGE", "floppy", "PIXCRAWLER_STORAGE: "),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL: "),
        ("SCRAPYD_NODES", "127.0.0.1", "SCRAPYD_NODES: "),
        ("SCRAPYD_NODES", "http://127.0.0.1:6800#none", "SCRAPYD_NODES: "),
        ("PIXCRAWLER_SMTP_URL", "mail.example:25", "PIXCRAWLER_SMTP_URL: "),
        ("PIXCRAWLER_SMTP_URL", "smtp://me:hu/sh@mail.example", "PIXCRAWLER_SMTP_URL: "),
        ("PIXCRAWLER_SMTP_URL", "smtp://me:hu#sh@mail.example", "PIXCRAWLER_SMTP_URL: "),
        ("PIXCRAWLER_SMTP_URL", "smtp://me:hüsh@mail.example", "PIXCRAWLER_SMTP_URL: user and password"),
        ("PIXCRAWLER_SMTP_URL", "smtp://me@mail.example", "PIXCRAWLER_SMTP_URL: user and password"),
        ("PIXCRAWLER_SMTP_URL", "smtp://mail.example", "PIXCRAWLER_MAIL_FROM: is needed with PIXCRAWLER_SMTP_URL"),
        ("PIXCRAWLER_MAIL_FROM", "me", "PIXCRAWLER_MAIL_FROM: "),
        ("PIXCRAWLER_MAIL_FROM", "me@x.example, you@x.example", "PIXCRAWLER_MAIL_FROM: "),
        ("PIXCRAWLER_MAIL_FROM", "me@x.example\nBcc: you@x.example", "PIXCRAWLER_MAIL_FROM: "),
        ("PIXCRAWLER_MAIL_FROM", "", "PIXCRAWLER_MAIL_FROM: "),
        ("PIXCRAWLER_WEBHOOK_URL", "ftp://hooks.example", "PIXCRAWLER_WEBHOOK_URL: "),
        ("PIXCRAWLER_WEBHOOK_URL", "https://me:hush@hooks.example", "PIXCRAWLER_WEBHOOK_URL: "),
        ("PIXCRAWLER_WEBHOOK_URL", "https://hooks.example:port", "PIXCRAWLER_WEBHOOK_URL: "),
        ("PIXCRAWLER_WEBHOOK_URL", "https://hooks.example", "PIXCRAWLER_WEBHOOK_SECRET: is needed with"),
        ("PIXCRAWLER_WEBHOOK_SECRET", "hush", "PIXCRAWLER_WEBHOOK_SECRET: "),
        ("PIXCRAWLER_WEBHOOK_SECRET", "whsec_aHVzaA==", "PIXCRAWLER_WEBHOOK_SECRET: "),
        ("PIXCRAWLER_SITE_URL", "pix.example", "PIXCRAWLER_SITE_URL: "),
        (
            "PIXCRAWLER_STORAGE",
            "azure",
            "AZURE_STORAGE_ACCOUNT_URL: is needed with PIXCRAWLER_STORAGE=azure, or AZURE_STORAGE_CONNECTION_STRING",
        ),
        ("PIXCRAWLER_STORAGE", "supabase", "SUPABASE_URL: is needed with PIXCRAWLER_STORAGE=supabase"),
        ("AZURE_STORAGE_CONNECTION_STRING", "hush", "AZURE_STORAGE_CONNECTION_STRING: expected AccountName"),
        (
            "AZURE_STORAGE_CONNECTION_STRING",
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=hush",
            "AZURE_STORAGE_CONNECTION_STRING: expected https",
        ),
        ("AZURE_STORAGE_ACCOUNT_URL", "http://a.blob.example", "AZURE_STORAGE_ACCOUNT_URL: expected https"),
        ("AZURE_BLOB_CONTAINER_NAME", "Pictures", "AZURE_BLOB_CONTAINER_NAME: expected 3 to 63"),
        ("SUPABASE_URL", "http://a.supabase.example", "SUPABASE_URL: expected https"),
        ("SUPABASE_WARM_BUCKET", "a/b/c", "SUPABASE_WARM_BUCKET: expected 3 to 63"),
        ("PIXCRAWLER_API_URL", "ftp://api.example", "PIXCRAWLER_API_URL: "),
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
    assert "hush" not in str(raised.value)


def test_secrets_are_not_shown(settings_env: Callable[..., None]) -> None:
    settings_env(DATABASE_URL="postgresql://me:hush@db/x", SCRAPYD_NODES="http://me:hush@127.0.0.1:6800#3")
    settings = config()
    assert "hush" not in repr(settings)
    assert "hush" not in repr(settings.nodes)
    [node] = settings.nodes
    assert (node.url, node.slots, node.username) == ("http://127.0.0.1:6800", 3, "me")
    assert node.password.get_secret_value() == "hush"


CHANNELS = {
    "PIXCRAWLER_SMTP_URL": "smtp://me%40here:hu%2Fsh%40@[::1]:2525",
    "PIXCRAWLER_MAIL_FROM": "Pix Crawler <crawler@pix.example>",
    "PIXCRAWLER_WEBHOOK_URL": "https://hooks.example/hu/sh",
    "PIXCRAWLER_WEBHOOK_SECRET": "whsec_aHUvc2hodS9zaGh1L3NoaHUvc2hodS9zaGh1L3No",
}


def test_channels_are_those_that_are_set_up(settings_env: Callable[..., None]) -> None:
    assert config().channels == set()
    settings_env(PIXCRAWLER_SMTP_URL=CHANNELS["PIXCRAWLER_SMTP_URL"], PIXCRAWLER_MAIL_FROM="me@pix.example")
    assert config().channels == {Channel.EMAIL}
    settings_env(**CHANNELS)
    assert config().channels == {Channel.EMAIL, Channel.WEBHOOK}


def test_a_mail_server_by_its_address(settings_env: Callable[..., None]) -> None:
    settings_env(**CHANNELS)
    server = config().mail_server
    assert server is not None
    assert (server.host, server.port, server.tls, server.is_here) == ("::1", 2525, False, True)
    assert (server.username, server.password.get_secret_value()) == ("me@here", "hu/sh@")
    settings_env(PIXCRAWLER_SMTP_URL="smtps://mail.example")
    server = config().mail_server
    assert server is not None
    assert (server.host, server.port, server.tls, server.is_here) == ("mail.example", 465, True, False)


def test_secrets_of_channels_are_not_shown(settings_env: Callable[..., None]) -> None:
    settings_env(**CHANNELS)
    assert config().webhook_key == b"hu/sh" * 6
    shown = repr(config()) + repr(config().mail_server)
    assert not [secret for secret in ("hu/sh", "hu%2Fsh", "aHUvc2") if secret in shown]


def test_crawls_know_no_channels(settings_env: Callable[..., None]) -> None:
    settings_env(**CHANNELS, PIXCRAWLER_SITE_URL="https://pix.example")
    assert not crawl_environment().keys() & CHANNELS.keys()


STORES = {
    "azure": {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=hush"},
    "supabase": {"SUPABASE_URL": "https://a.supabase.example", "SUPABASE_SERVICE_ROLE_KEY": "hush"},
}


@pytest.mark.parametrize("storage", ["local", *STORES])
def test_crawls_know_how_to_store_and_no_more(settings_env: Callable[..., None], storage: str) -> None:
    variables = {name: value for store in STORES.values() for name, value in store.items()}
    settings_env(PIXCRAWLER_STORAGE=storage, SUPABASE_JWT_SECRET="hush", **variables)
    assert crawl_environment().keys() & variables.keys() == STORES.get(storage, {}).keys()
    assert "SUPABASE_JWT_SECRET" not in crawl_environment()
    assert "hush" not in repr(config())


def test_a_bucket_without_its_key_is_named(settings_env: Callable[..., None]) -> None:
    settings_env(PIXCRAWLER_STORAGE="supabase", SUPABASE_URL="https://a.supabase.example")
    with pytest.raises(UsageError, match="SUPABASE_SERVICE_ROLE_KEY: is needed with PIXCRAWLER_STORAGE"):
        config()


def test_every_source_is_known_by_its_file() -> None:
    assert {"openverse", "urls"} <= set(source_names())
