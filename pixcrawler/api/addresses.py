"""Where the API may listen, and by which names it may be asked."""

from __future__ import annotations

from urllib.parse import urlsplit

from pixcrawler.config import Config, is_here
from pixcrawler.errors import UsageError


def require_safe(config: Config) -> None:
    """Raises `UsageError` for an API that would let everybody in: without logins, only this machine may reach it."""
    if config.supabase_url is None and not is_here(config.host):
        raise UsageError(
            f"HOST={config.host}: without SUPABASE_URL whoever reaches the API is the local user; "
            "set it, or listen on 127.0.0.1"
        )


def host_of(authority: str) -> str:
    """The host in `host:port`, in lower case; empty for what is neither."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_ours(authority: str, config: Config) -> bool:
    """Whether a Host header names us; a name of somebody else's that leads here is an attack on a browser (rebinding).

    Whoever listens on all addresses is found by any of them, and by its name in PIXCRAWLER_API_URL.
    """
    host = host_of(authority)
    return bool(host) and (is_here(host) or host in (config.host, host_of(urlsplit(config.api_url).netloc)))
