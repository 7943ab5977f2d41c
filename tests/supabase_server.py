"""Supabase Storage as its HTTP API is documented, in memory on 127.0.0.1."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from pixcrawler.config import Config

SERVICE_KEY = "service-role-hush"
CHUNK = 6 * 2**20  # of a resumable upload; the last may be smaller


@dataclass
class Object:
    """What is stored under a name."""

    body: bytes
    content_type: str
    metadata: dict[str, str]
    updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Upload:
    """A resumable upload that is not over."""

    bucket: str
    key: str
    size: int
    content_type: str
    metadata: dict[str, str]
    body: bytes = b""


class Refused(Exception):
    """An error of the API: its own status, its code."""


class Supabase(ThreadingHTTPServer):
    """A project's storage. `page`: how many objects it lists at once."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets: dict[str, dict[str, Object]] = {}
        self.uploads: dict[str, Upload] = {}
        self.lock = threading.Lock()
        self.page = 3

    @property
    def address(self) -> str:
        return "http://{}:{}".format(*self.server_address)

    def settings(self, bucket: str, address: str | None = None, **more: Any) -> Config:
        """The settings for a pair of buckets of one's own, perhaps reached by a proxy's address."""
        return Config(
            storage="supabase",
            supabase_url=address or self.address,
            supabase_service_role_key=more.pop("key", SERVICE_KEY),
            supabase_bucket=bucket,
            supabase_warm_bucket=f"{bucket}-warm",
            **more,
        )

    def store(self, bucket: str, key: str, new: Object, *, upsert: bool) -> None:
        with self.lock:
            if key in self.buckets[bucket] and not upsert:
                raise Refused(409, "Duplicate")
            self.buckets[bucket][key] = new

    def find(self, bucket: str, key: str) -> Object:
        if bucket not in self.buckets:
            raise Refused(404, "Bucket not found")
        if key not in self.buckets[bucket]:
            raise Refused(404, "not_found")
        return self.buckets[bucket][key]

    def handle_error(self, *_: Any) -> None:
        pass  # the other side may leave when it likes


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Supabase

    def _serve(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        path = urlsplit(self.path).path.removeprefix("/storage/v1/")
        try:
            for method, pattern, action in ROUTES:
                found = re.fullmatch(pattern, path)
                if self.command == method and found:
                    if action != "download":
                        self._require_key()
                    return getattr(self, f"_{action}")(*found.groups())
            raise Refused(404, "route")
        except Refused as refusal:
            status, code = refusal.args
            told = status if path.startswith("upload/") else 400  # as the service does
            self._json({"statusCode": str(status), "error": code, "message": code}, told)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815

    def _require_key(self) -> None:
        if self.headers["Authorization"] != f"Bearer {SERVICE_KEY}" or self.headers["apikey"] != SERVICE_KEY:
            raise Refused(403, "Unauthorized")

    def _bucket(self, name: str) -> None:
        if name not in self.server.buckets:
            raise Refused(404, "Bucket not found")
        self._json({"id": name, "name": name, "public": False, "owner": "", **TIMES})

    def _new_bucket(self) -> None:
        wanted = json.loads(self.body)
        assert wanted["public"] is False
        if wanted["id"] in self.server.buckets:
            raise Refused(409, "Duplicate")
        self.server.buckets[wanted["id"]] = {}
        self._json({"name": wanted["id"]})

    def _new_object(self, bucket: str, key: str) -> None:
        fields = _form(self.headers["Content-Type"], self.body)
        content_type, body = fields["file"]
        metadata = json.loads(fields["metadata"][1])
        upsert = self.headers["x-upsert"] == "true"
        self.server.store(bucket, key, Object(body, content_type, metadata), upsert=upsert)
        self._json({"Id": str(uuid4()), "Key": f"{bucket}/{key}"})

    def _info(self, bucket: str, key: str) -> None:
        found = self.server.find(bucket, key)
        etag = f'"{hashlib.md5(found.body).hexdigest()}"'
        self._json({"name": key, "size": len(found.body), "etag": etag, "metadata": found.metadata})

    def _object(self, bucket: str, key: str) -> None:
        self._send_object(self.server.find(bucket, key), {})

    def _download(self, bucket: str, key: str) -> None:
        """A signed link."""
        signature, _, expires = self.query.get("token", "").partition(".")
        if not hmac.compare_digest(signature, _sign(bucket, key, expires)) or float(expires) < time.time():
            raise Refused(400, "InvalidJWT")
        name = self.query["download"]
        self._send_object(self.server.find(bucket, key), {"Content-Disposition": f'attachment; filename="{name}"'})

    def _send_object(self, found: Object, headers: dict[str, str]) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        body = found.body[int(wanted[1]) : int(wanted[2]) + 1] if wanted else found.body
        self._send(206 if wanted else 200, body, {"Content-Type": found.content_type, **headers})

    def _remove(self, bucket: str) -> None:
        for key in json.loads(self.body)["prefixes"]:
            self.server.buckets[bucket].pop(key, None)
        self._json([])

    def _list(self, bucket: str) -> None:
        wanted = json.loads(self.body)
        assert wanted["with_delimiter"] is False
        keys = sorted(key for key in self.server.buckets[bucket] if key.startswith(wanted["prefix"]))
        keys = [key for key in keys if key > wanted.get("cursor", "")]
        page = keys[: min(self.server.page, wanted["limit"])]
        rest = {"nextCursor": page[-1]} if len(page) < len(keys) else {}
        self._json({"hasNext": bool(rest), "folders": [], "objects": [self._line(bucket, key) for key in page], **rest})

    def _line(self, bucket: str, key: str) -> dict[str, Any]:
        found = self.server.buckets[bucket][key]
        times = dict.fromkeys(("created_at", "updated_at"), found.updated_at.isoformat())
        return {"id": str(uuid4()), "name": key, "metadata": {"size": len(found.body)}, **times}

    def _sign(self, bucket: str, key: str) -> None:
        self.server.find(bucket, key)
        expires = str(time.time() + int(json.loads(self.body)["expiresIn"]))
        self._json({"signedURL": f"/object/sign/{bucket}/{key}?token={_sign(bucket, key, expires)}.{expires}"})

    def _new_upload(self) -> None:
        assert self.headers["Tus-Resumable"] == "1.0.0"
        pairs = (pair.split() for pair in self.headers["Upload-Metadata"].split(","))
        names = {name: b64decode(value).decode() for name, value in pairs}
        bucket, key = names["bucketName"], names["objectName"]
        if key in self.server.buckets[bucket]:
            raise Refused(409, "Duplicate")
        size, metadata = int(self.headers["Upload-Length"]), json.loads(names["metadata"])
        number = uuid4().hex
        self.server.uploads[number] = Upload(bucket, key, size, names["contentType"], metadata)
        self._send(201, b"", {"Location": f"/storage/v1/upload/resumable/{number}"})

    def _upload_offset(self, number: str) -> None:
        self._send(200, b"", {"Upload-Offset": str(len(self.server.uploads[number].body))})

    def _upload_chunk(self, number: str) -> None:
        upload = self.server.uploads[number]
        assert int(self.headers["Upload-Offset"]) == len(upload.body)
        assert self.headers["Content-Type"] == "application/offset+octet-stream"
        upload.body += self.body
        whole = len(upload.body) == upload.size
        assert whole or len(self.body) == CHUNK
        if whole:
            new = Object(upload.body, upload.content_type, upload.metadata)
            self.server.store(upload.bucket, upload.key, new, upsert=False)
        self._send(204, b"", {"Upload-Offset": str(len(upload.body))})

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


NAME, KEY = "([^/]+)", "(.+)"
TIMES = dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z")
ROUTES = [
    ("GET", f"bucket/{NAME}", "bucket"),
    ("POST", "bucket", "new_bucket"),
    ("POST", "upload/resumable", "new_upload"),
    ("HEAD", f"upload/resumable/{NAME}", "upload_offset"),
    ("PATCH", f"upload/resumable/{NAME}", "upload_chunk"),
    ("GET", f"object/info/{NAME}/{KEY}", "info"),
    ("GET", f"object/authenticated/{NAME}/{KEY}", "object"),
    ("GET", f"object/sign/{NAME}/{KEY}", "download"),
    ("POST", f"object/sign/{NAME}/{KEY}", "sign"),
    ("POST", f"object/list-v2/{NAME}", "list"),
    ("DELETE", f"object/{NAME}", "remove"),
    ("POST", f"object/{NAME}/{KEY}", "new_object"),
]


def _sign(bucket: str, key: str, expires: str) -> str:
    return hmac.digest(SERVICE_KEY.encode(), f"{bucket}/{key}/{expires}".encode(), "sha256").hex()


def _form(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """The fields of `multipart/form-data`: their types and values."""
    boundary = content_type.partition("boundary=")[2].encode()
    fields = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        kind = re.search(rb"Content-Type: (\S+)", head)
        assert name
        fields[name[1].decode()] = (kind[1].decode() if kind else "", value)
    return fields


@contextmanager
def supabase() -> Iterator[Supabase]:
    """A running project, with nothing in it."""
    server = Supabase()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
