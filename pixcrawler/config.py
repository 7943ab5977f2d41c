"""All settings, read once from the environment. No other module reads it."""

from __future__ import annotations

import ipaddress
import os
import re
from base64 import b64decode
from collections.abc import Callable
from email.headerregistry import Address
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pixcrawler.errors import UsageError
from pixcrawler.jobs import Channel
from pixcrawler.terms import Key

BASE_URL_PREFIX = "PIXCRAWLER_BASE_URL_"
CONNECTION = "storage_connection_string"
STORE_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")  # of a container or bucket
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::\d{1,5})?")
HOST_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")

# Passwords and secrets that a crawl process has no use for.
NOT_FOR_CRAWLS = frozenset(
    {
        "SCRAPYD_NODES",
        "PIXCRAWLER_SMTP_URL",
        "PIXCRAWLER_MAIL_FROM",
        "PIXCRAWLER_WEBHOOK_URL",
        "PIXCRAWLER_WEBHOOK_SECRET",
        "SUPABASE_JWT_SECRET",
    }
)
# What a crawl process needs to store pictures, if it is there that they go. The last lines: who we are to Entra.
OF_STORES = {
    "azure": frozenset(
        {
            *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_URL"),
            *("AZURE_BLOB_CONTAINER_NAME", "AZURE_WARM_CONTAINER_NAME"),
            *("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_AUTHORITY_HOST"),
            *("AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_FEDERATED_TOKEN_FILE"),
            *("IDENTITY_ENDPOINT", "IDENTITY_HEADER"),
        }
    ),
    "supabase": frozenset(
        {"SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_BUCKET", "SUPABASE_WARM_BUCKET"},
    ),
}
# What any Python process goes by: programs, home, language, time zone, scratch space, modules, certificates.
FOR_PYTHON = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE", "PYTHONUTF8", "VIRTUAL_ENV"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    }
)


def _words(value: object) -> object:
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


class Node:
    """A Scrapyd node: where it is, who may ask it, how many crawl processes it runs at once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("SCRAPYD_NODES: not an address like http://user:pass@host:port#slots")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        try:
            port = parts.port or 6800
            self.slots = int(parts.fragment or 2)
        except ValueError:
            raise UsageError("SCRAPYD_NODES: port and slots must be numbers") from None
        if self.slots < 1:
            raise UsageError("SCRAPYD_NODES: a node needs at least one slot")
        self.name = f"{host}:{port}"
        self.url = f"{parts.scheme}://{host}:{port}"
        self.username = parts.username or ""
        self.password = SecretStr(parts.password or "")

    def __repr__(self) -> str:
        return f"Node({self.name}, slots={self.slots})"


class MailServer:
    """The server that takes our mails: where it is, how it is spoken to, who we are there."""

    def __init__(self, url: str) -> None:
        wrong = "not an address like smtp://user:password@host:port (special characters in the password: %-encoded)"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(wrong) from None
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(wrong)
        if bool(parts.username) != bool(parts.password):
            raise ValueError("user and password belong together")
        self.tls = parts.scheme == "smtps"  # from the first byte on; otherwise by STARTTLS
        self.host = parts.hostname
        self.port = port or (465 if self.tls else 587)
        self.username = unquote(parts.username or "")
        self.password = SecretStr(unquote(parts.password or ""))
        if not (self.username + self.password.get_secret_value()).isascii():
            raise ValueError("user and password must be ASCII")

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        return is_here(self.host)

    def __repr__(self) -> str:
        return f"MailServer({self.host}:{self.port})"


def _mail_server(url: SecretStr) -> SecretStr:
    MailServer(url.get_secret_value())
    return url


def mail_address(text: str) -> Address:
    """The one address in `Name <user@host>` or `user@host`. Raises `ValueError`."""
    message = EmailMessage()
    message["From"] = text
    addresses = message["From"].addresses
    if message["From"].defects or len(addresses) != 1 or not addresses[0].domain or not text.isascii():
        raise ValueError("not an address like PixCrawler <pixcrawler@example.org>")
    address: Address = addresses[0]
    return address


def _mail_address(text: str) -> str:
    return str(mail_address(text))


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise ValueError("not an address like https://host/path, without user and password")
    return text


def _signing_key(secret: SecretStr) -> bytes:
    try:
        key = b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:  # as the specification of Standard Webhooks says
        raise ValueError("expected whsec_ and 24 to 64 bytes in base64, as `openssl rand -base64 32` makes them")
    return key


def _webhook_secret(secret: SecretStr) -> SecretStr:
    _signing_key(secret)
    return secret


WebAddress = Annotated[str, AfterValidator(_web_address)]


def is_here(host: str | None) -> bool:
    """Whether a host is this machine, with nobody in between."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def _encrypted(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_here(parts.hostname):
        raise ValueError("expected https")
    return url.rstrip("/")


def _connection_string(secret: SecretStr) -> SecretStr:
    pairs = (pair.partition("=") for pair in secret.get_secret_value().split(";"))
    given = {name.strip().lower(): value for name, _, value in pairs}
    if not given.get("accountname") or not given.get("accountkey"):
        raise ValueError("expected AccountName=…;AccountKey=…, as the portal shows it")
    if "blobendpoint" in given or given.get("defaultendpointsprotocol", "https") != "https":
        _encrypted(given.get("blobendpoint") or "http://")
    return secret


def _store_name(name: str) -> str:
    if not STORE_NAME.fullmatch(name):
        raise ValueError("expected 3 to 63 small letters, digits and single hyphens")
    return name


StoreName = Annotated[str, AfterValidator(_store_name)]


def _nodes(urls: tuple[str, ...]) -> tuple[str, ...]:
    for url in urls:
        Node(url)
    return urls


def _from_nothing(words: tuple[str, ...]) -> tuple[str, ...]:
    if not any(word.startswith("0:") for word in words):
        raise ValueError("a limit from 0 credits on is missing, such as 0:1")
    return words


def _limits(what: str, amount: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Checks words such as `openverse:2`: a `what`, and a number of `amount`."""

    def check(words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            name, _, number = word.partition(":")
            if not name or not number.isdecimal() or int(number) < 1:
                raise ValueError(f"expected {what}:{amount}, such as the default, not {word!r}")
        return words

    return check


def _request_limits(words: tuple[str, ...]) -> tuple[str, ...]:
    known = {word.partition(":")[0] for word in _limits("who", "requests a minute")(words)}
    if known != {"user", "address", "failures"}:
        raise ValueError("expected one limit each of user, address and failures, such as the default")
    return words


def _origins(words: tuple[str, ...]) -> tuple[str, ...]:
    for origin in words:
        if not ORIGIN.fullmatch(origin):
            raise ValueError(f"expected origins, such as https://app.example.org, not {origin!r}")
    return words


def _host_names(words: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(word.lower().rstrip(".") for word in words)
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise ValueError(f"expected names of hosts, such as images.example.org, not {name!r}")
    return names


class Config(BaseSettings):
    """The settings of every process. A field's name in upper case, with its prefix, is the variable's name."""

    model_config = SettingsConfigDict(env_prefix="PIXCRAWLER_", frozen=True, extra="ignore", populate_by_name=True)

    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")  # unset: embedded
    scrapyd_nodes: Annotated[Words, AfterValidator(_nodes)] = Field(
        ("http://127.0.0.1:6800#2",), validation_alias="SCRAPYD_NODES", repr=False
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", validation_alias="LOG_LEVEL")
    log_format: Literal["text", "json"] = Field("text", validation_alias="LOG_FORMAT")
    metrics_port: int | None = Field(None, ge=1, le=65535)  # where services tell theirs; unset: nowhere
    metrics_address: str = "127.0.0.1"  # nobody asks for a password there

    data_dir: Annotated[Path, AfterValidator(lambda p: p.expanduser().absolute())] = Path("data")
    # Where pictures and datasets live, those that are asked for often and those that wait: see docs/storage.md.
    storage: Literal["local", "azure", "supabase"] = "local"
    azure_storage_connection_string: Annotated[SecretStr, AfterValidator(_connection_string)] | None = Field(
        None, validation_alias="AZURE_STORAGE_CONNECTION_STRING"
    )
    azure_storage_account_url: Annotated[WebAddress, AfterValidator(_encrypted)] | None = Field(
        None, validation_alias="AZURE_STORAGE_ACCOUNT_URL", validate_default=True
    )
    azure_blob_container_name: StoreName = Field("pixcrawler", validation_alias="AZURE_BLOB_CONTAINER_NAME")
    azure_warm_container_name: StoreName = Field("pixcrawler-warm", validation_alias="AZURE_WARM_CONTAINER_NAME")
    supabase_url: Annotated[WebAddress, AfterValidator(_encrypted)] | None = Field(
        None, validation_alias="SUPABASE_URL", validate_default=True
    )
    supabase_service_role_key: SecretStr | None = Field(
        None, validation_alias="SUPABASE_SERVICE_ROLE_KEY", validate_default=True
    )
    supabase_bucket: StoreName = Field("pixcrawler", validation_alias="SUPABASE_BUCKET")
    supabase_warm_bucket: StoreName = Field("pixcrawler-warm", validation_alias="SUPABASE_WARM_BUCKET")
    # Of a job that names none: those that need neither key nor consent, who has most of everything first.
    default_sources: Words = ("openverse", "commons", "internetarchive", "nasa", "met", "artic", "rijksmuseum")
    allow_hosts: Words = ()  # host, host:port or network outside the public internet that may be fetched
    opt_out_exempt: Annotated[Words, AfterValidator(_host_names)] = ()  # hosts whose owners permit what they reserve
    accept_terms: Words = ()  # sources whose terms or robots.txt forbid what we do, unless one has permission
    contact: str = "https://github.com/pixcrawler/pixcrawler"  # in the User-Agent; name yourself
    chromium: Path = Path("/usr/bin/chromium")  # renders the pages of sources that need it

    # Who gets how much at once. A node's slots are in SCRAPYD_NODES.
    job_limits: Annotated[Words, AfterValidator(_limits("credits", "jobs")), AfterValidator(_from_nothing)] = (
        "0:1",
        "1000:3",
        "10000:10",
    )
    source_limits: Annotated[Words, AfterValidator(_limits("source", "runs"))] = ()  # unnamed sources have none

    # The API: where it listens, where it is seen from outside, who may ask it and how often. SUPABASE_URL is above.
    host: str = Field("127.0.0.1", validation_alias="HOST")
    port: int = Field(8000, ge=1, le=65535, validation_alias="PORT")
    api_url: WebAddress = "http://127.0.0.1:8000"  # links to files of this machine lead there too
    allowed_origins: Annotated[Words, AfterValidator(_origins)] = Field((), validation_alias="ALLOWED_ORIGINS")
    trusted_proxies: Words = ()  # whose word on the client's address counts
    supabase_jwt_secret: SecretStr | None = Field(None, validation_alias="SUPABASE_JWT_SECRET")
    request_limits: Annotated[Words, AfterValidator(_request_limits)] = ("user:600", "address:1200", "failures:30")

    # How owners hear of their jobs outside the front end: unset, they do not.
    smtp_url: Annotated[SecretStr, AfterValidator(_mail_server)] | None = None
    mail_from: Annotated[str, AfterValidator(_mail_address)] | None = Field(None, validate_default=True)
    webhook_url: WebAddress | None = Field(None, repr=False)  # whoever knows some addresses may write there
    webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secret)] | None = Field(None, validate_default=True)
    site_url: WebAddress | None = None  # of the front end, for links in mails

    fault: Words = ()  # point:probability; for tests: where the process kills itself, see faults.py

    # Which pictures are good enough.
    min_side: int = Field(200, ge=1)  # pixels; DataComp's basic filter
    max_aspect: float = Field(3.0, ge=1)  # long side : short side; DataComp's basic filter

    # Clocks, in seconds. A lease outlives four heartbeats; a process that cannot renew stops before it ends.
    heartbeat_seconds: float = Field(10, gt=0)
    lease_seconds: float = Field(45, gt=0)
    fence_seconds: float = Field(30, gt=0)
    dispatch_seconds: float = Field(15, gt=0)  # an attempt that has not begun by then is looked into
    cancel_seconds: float = Field(10, gt=0)  # from INT to KILL
    poll_seconds: float = Field(0.5, gt=0)  # the dispatcher's and exporter's beat when idle
    projection_seconds: float = Field(1, gt=0)  # Realtime checks each change once per subscriber
    retry_seconds: float = Field(5, gt=0)  # before the second attempt; doubles
    deadline_seconds: float = Field(24 * 3600, gt=0)  # of crawling
    export_lease_seconds: float = Field(120, gt=0)
    sweep_seconds: float = Field(24 * 3600, gt=0)  # what belongs to nothing is left alone for so long

    # How long datasets stay, in days; unset: for ever.
    warm_after_days: int | None = Field(None, ge=1)  # in the hot tier
    temporary_days: int | None = Field(None, ge=1)  # superseded ones, those made on demand, and lists

    @field_validator("mail_from", "webhook_secret")
    @classmethod
    def _comes_with_its_address(cls, value: Any, info: ValidationInfo) -> Any:
        other = "smtp_url" if info.field_name == "mail_from" else "webhook_url"
        if value is None and info.data.get(other) is not None:
            raise ValueError(f"is needed with {variable(other)}")
        return value

    @field_validator("azure_storage_account_url", "supabase_url", "supabase_service_role_key")
    @classmethod
    def _comes_with_its_storage(cls, value: Any, info: ValidationInfo) -> Any:
        storage = str(info.field_name).partition("_")[0]
        if value is None and info.data.get("storage") == storage and not info.data.get(f"{storage}_{CONNECTION}"):
            other = f", or {variable(f'azure_{CONNECTION}')}" if storage == "azure" else ""
            raise ValueError(f"is needed with PIXCRAWLER_STORAGE={storage}{other}")
        return value

    @model_validator(mode="after")
    def _leases_outlive_their_owners(self) -> Self:
        if not self.heartbeat_seconds < self.fence_seconds < self.lease_seconds:
            raise ValueError("must be more than PIXCRAWLER_HEARTBEAT_SECONDS and less than PIXCRAWLER_LEASE_SECONDS")
        return self

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The Scrapyd nodes, in the order given."""
        return tuple(Node(url) for url in self.scrapyd_nodes)

    @property
    def jobs_by_credits(self) -> dict[int, int]:
        """From how many credits on, how many jobs of an owner run at once."""
        return {int(least): int(jobs) for least, jobs in (word.split(":") for word in self.job_limits)}

    @property
    def runs_by_source(self) -> dict[str, int]:
        """How many runs of a source may be at work at once; sources that are not named have no limit."""
        return {source: int(runs) for source, runs in (word.split(":") for word in self.source_limits)}

    @property
    def requests_a_minute(self) -> dict[str, int]:
        """How many requests a `user` and an `address` have, and how many `failures` to log in an address has."""
        return {who: int(number) for who, number in (word.split(":") for word in self.request_limits)}

    @property
    def channels(self) -> frozenset[Channel]:
        """By which notifications leave the house."""
        addresses = {Channel.EMAIL: self.smtp_url, Channel.WEBHOOK: self.webhook_url}
        return frozenset(channel for channel, address in addresses.items() if address is not None)

    @property
    def mail_server(self) -> MailServer | None:
        """The server for channel `email`."""
        return MailServer(self.smtp_url.get_secret_value()) if self.smtp_url else None

    @property
    def webhook_key(self) -> bytes:
        """What signs the requests of channel `webhook`; empty without it."""
        return _signing_key(self.webhook_secret) if self.webhook_secret else b""

    @property
    def user_agent(self) -> str:
        """Who asks, and where to complain."""
        from pixcrawler import __version__

        return f"PixCrawler/{__version__} (+{self.contact})"

    @staticmethod
    def base_url(source: str) -> str | None:
        """The operator's own address of a source (a mirror, a test server), if there is one."""
        return os.environ.get(BASE_URL_PREFIX + source.upper()) or None


def source_key(key: Key) -> SecretStr | None:
    """The operator's key for a source, if there is one."""
    value = os.environ.get(key.variable, "").strip()
    return SecretStr(value) if value else None


def variable(field: str) -> str:
    """The environment variable of a field of `Config`."""
    return str(Config.model_fields[field].validation_alias or f"PIXCRAWLER_{field.upper()}")


def crawl_environment() -> dict[str, str]:
    """The variables a crawl process may see: our settings and what Python needs; nobody else's secrets."""
    stores = frozenset().union(*OF_STORES.values())
    allowed = (FOR_PYTHON | {variable(field) for field in Config.model_fields}) - NOT_FOR_CRAWLS - stores
    allowed |= OF_STORES.get(config().storage, frozenset())
    prefixes = (BASE_URL_PREFIX, "LC_")
    return {name: value for name, value in os.environ.items() if name in allowed or name.startswith(prefixes)}


def browser_environment() -> dict[str, str]:
    """The variables a browser may see: what any program goes by, and no secret."""
    return {name: value for name, value in os.environ.items() if name in FOR_PYTHON or name.startswith("LC_")}


def node_variable(option: str) -> str:
    """What the environment says about a Scrapyd node of ours, in preference to its scrapyd.conf; empty if nothing."""
    return os.environ.get(f"SCRAPYD_{option.upper()}", "")


def source_names() -> tuple[str, ...]:
    """The sources there are: one file each under `spiders/`, named like its spider."""
    folder = Path(__file__).with_name("spiders")
    return tuple(sorted(module.name for module in iter_modules([str(folder)])))


@lru_cache(maxsize=1)
def config() -> Config:
    """The settings of this process. Raises `UsageError` naming the variable that is wrong."""
    try:
        return Config()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "fence_seconds"  # the one rule about several settings
        name = variable(name) if name in Config.model_fields else name
        raise UsageError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None
