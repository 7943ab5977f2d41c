"""Links to files of this machine: the API serves them, and they say themselves until when."""

from __future__ import annotations

import hmac
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlencode
from uuid import uuid4

from pixcrawler.errors import LinkRefused
from pixcrawler.storage.faults import explained

KEY_FILE = ".link-key"  # no storage key starts with a dot
KEY_BYTES = 32


def signed(root: Path, api_url: str, key: str, seconds: int, name: str) -> str:
    """`<api>/files/<key>?expires=…&name=…&signature=…`"""
    expires = int(time.time()) + seconds
    query = urlencode({"expires": expires, "name": name, "signature": _signature(root, key, expires, name)})
    return f"{api_url.rstrip('/')}/files/{quote(key)}?{query}"


def check(root: Path, key: str, expires: int, name: str, signature: str) -> None:
    """Raises `LinkRefused` for a link that was not signed with the key in this folder, or is over."""
    wanted = _signature(root, key, expires, name)
    if not hmac.compare_digest(wanted.encode(), signature.encode(errors="replace")):
        raise LinkRefused("this link was not made here, or was changed")
    if expires < time.time():
        raise LinkRefused("this link is over")


def disposition(name: str) -> str:
    """`Content-Disposition` for a file that is to be saved under this name."""
    plain = "".join(letter if (letter.isascii() and letter.isalnum()) or letter in "._- " else "_" for letter in name)
    return f'attachment; filename="{plain}"'


def _signature(root: Path, key: str, expires: int, name: str) -> str:
    return hmac.digest(_link_key(root), f"{key}\n{expires}\n{name}".encode(errors="replace"), "sha256").hex()


def _link_key(root: Path) -> bytes:
    """The folder's own secret: made by whoever needs it first."""
    path = root / KEY_FILE
    with explained(str(path)):
        if not path.exists():
            _make(path)
        return path.read_bytes()


def _make(path: Path) -> None:
    part = path.with_name(f"{KEY_FILE}.{uuid4().hex}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        with suppress(FileExistsError):  # somebody else was quicker: theirs counts
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)
