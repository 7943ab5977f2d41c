"""The tables of schema `crawler`, which is ours: the truth about every job. Migrated by Alembic.

Locks are taken in this order, everywhere: the advisory locks of what is withdrawn and of the scope, jobs (by id), runs,
attempts, own rows, the job's row in `public.crawl_jobs`, its owner's credit_accounts, then other rows of `public`, one
job at a time.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from pixcrawler.jobs import (
    ACTIVE_ATTEMPTS,
    JOBS_AT_WORK,
    NOT_HOLDING,
    AttemptState,
    Channel,
    ExportFormat,
    ExportState,
    Health,
    JobState,
    MessageState,
    Reason,
    RunState,
    Tier,
)
from pixcrawler.takedowns import Kind

metadata = MetaData(schema="crawler")
now = func.now()


def _one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({_quoted(values)})", name=f"{column}_known")


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


def _timestamp(name: str, *, required: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=not required, server_default=now if required else None)


jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # crawl_jobs.id, whose row may vanish
    Column("state", Text, nullable=False),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("trace", Text, nullable=False, server_default=text("replace(gen_random_uuid()::text, '-', '')")),  # W3C
    Column("owner", Uuid),
    Column("project_id", Integer),
    Column("name", Text, nullable=False, server_default=""),
    Column("keywords", JSONB(none_as_null=True), nullable=False),
    Column("requested", Integer, nullable=False, server_default="0"),  # by the owner
    Column("asked", Integer, nullable=False),  # of the sources: what the owner's credits pay for
    Column("kept", Integer, nullable=False, server_default="0"),
    Column("withdrawn", Integer, nullable=False, server_default="0"),  # were kept; nobody gets their positions
    Column("charged", Integer, nullable=False, server_default="0"),  # of the kept ones
    Column("hold", Uuid),  # the pending credit_transactions.id of this generation
    Column("bytes", BigInteger, nullable=False, server_default="0"),  # of the charged images
    Column("options", JSONB(none_as_null=True), nullable=False, server_default="{}"),
    Column("progress", Integer, nullable=False, server_default="0"),  # percent, grows within a generation
    Column("outcome", Text),  # full, short, failed, cancelled
    Column("reason", Text),
    Column("deadline", DateTime(timezone=True)),
    _timestamp("created_at", required=True),
    _timestamp("finished_at"),
    _timestamp("planned_at"),
    _timestamp("projected_at"),
    _timestamp("swept_at"),
    _timestamp("sweep_until"),  # the lease of a sweep at work; runs wait for its end
    _timestamp("pruned_at"),  # since then, rejected candidates and attempts are gone
    _one_of("state", JobState),
    CheckConstraint("kept BETWEEN 0 AND asked", name="kept_within_asked"),
    CheckConstraint("charged BETWEEN 0 AND kept", name="charged_within_kept"),
    Index("jobs_state", "state"),
    Index("jobs_owner", "owner"),
    Index("jobs_finished", "finished_at"),
    Index("jobs_unswept", "id", postgresql_where=text("swept_at IS NULL")),
    Index("jobs_at_work", "owner", postgresql_where=text(f"state IN ({_quoted(JOBS_AT_WORK)})")),
)

runs = Table(
    "runs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("job", Integer, ForeignKey("crawler.jobs.id", ondelete="CASCADE"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("slices", JSONB(none_as_null=True), nullable=False),  # keyword → {quota, cursor, spent}
    Column("state", Text, nullable=False),
    _timestamp("not_before"),
    Column("outcome", Text),  # the reason, in words, when it is not simply "succeeded"
    Column("funnel", JSONB(none_as_null=True)),  # {found, kept, reasons}: final
    _timestamp("created_at", required=True),
    _timestamp("ended_at"),
    _one_of("state", RunState),
    CheckConstraint(
        "state IN ('pending', 'running', 'deferred') OR (funnel IS NOT NULL AND crawler.funnel_adds_up(funnel))",
        name="funnel_adds_up",
    ),
    Index("runs_job", "job"),
    Index("runs_unfinished", "state", postgresql_where=text("state IN ('pending', 'running', 'deferred')")),
)

attempts = Table(
    "attempts",
    metadata,
    Column("run", BigInteger, ForeignKey("crawler.runs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("job", Integer, nullable=False),
    Column("node", Text, nullable=False),  # host:port
    Column("state", Text, nullable=False),
    _timestamp("lease_until", required=True),
    _timestamp("heartbeat_at"),
    Column("decided", Integer, nullable=False, server_default="0"),  # candidates this attempt has decided
    _timestamp("cancel_sent_at"),  # INT was sent; KILL follows
    Column("log", Text),  # address of its log on the node
    Column("reason", Text),
    _timestamp("created_at", required=True),
    _timestamp("started_at"),
    _timestamp("ended_at"),
    _one_of("state", AttemptState),
    Index("attempts_one_active", "run", unique=True, postgresql_where=text(f"state IN ({_quoted(ACTIVE_ATTEMPTS)})")),
    Index("attempts_job", "job"),
    Index("attempts_ended", "ended_at"),
    Index("attempts_active", "node", postgresql_where=text(f"state IN ({_quoted(ACTIVE_ATTEMPTS)})")),
)

candidates = Table(
    "candidates",
    metadata,
    Column("run", BigInteger, ForeignKey("crawler.runs.id", ondelete="CASCADE"), primary_key=True),
    Column("url_key", Text, primary_key=True),
    Column("seq", BigInteger, Identity(always=True), nullable=False),  # the order in which they were met
    Column("job", Integer, nullable=False),
    Column("keyword", Text, nullable=False),
    Column("item", JSONB(none_as_null=True), nullable=False),  # items.ImageItem.facts
    Column("begun", SmallInteger, nullable=False, server_default="0"),  # attempts that had it in flight
    Column("received", Boolean, nullable=False, server_default=text("false")),  # a whole body came
    Column("decision", Text),  # NULL: open; 'kept', or the reason
    Column("detail", Text),
    Column("image_id", Integer),  # public.images.id of a kept one
    Column("duplicate_of", Integer),  # public.images.id of the one that was kept instead
    Column("distance", SmallInteger),  # bits of 256 in which their long codes differ
    Column("likeness", REAL),  # of a near duplicate: the correlation of the two, up to 1
    _timestamp("found_at", required=True),
    _timestamp("decided_at"),
    CheckConstraint(f"decision IN ({_quoted([*Reason, 'kept'])})", name="decision_known"),
    Index(
        "candidates_taken",
        "job",
        "url_key",
        unique=True,
        postgresql_where=text(f"decision IS NULL OR decision NOT IN ({_quoted(NOT_HOLDING)})"),
    ),
    Index("candidates_decision", "job", "run", "decision"),
    Index("candidates_open", "run", "seq", postgresql_where=text("decision IS NULL")),
    Index("candidates_keyword", "run", "keyword", "seq"),
    Index("candidates_copies", "job", "duplicate_of", postgresql_where=text("duplicate_of IS NOT NULL")),
)

fingerprints = Table(
    "fingerprints",
    metadata,
    Column("scope", Text, primary_key=True),  # "job:7", "project:3", "owner:<uuid>", "withdrawn"
    Column("seq", BigInteger, Identity(always=True), primary_key=True),  # assigned under the scope's lock
    Column("job", Integer, nullable=False),
    Column("image_id", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("codes", LargeBinary, nullable=False),  # items.Looks; empty for a flat picture
    Column("fingerprint", LargeBinary, nullable=False),
    Column("algorithm", SmallInteger, nullable=False),
    Column("pixels", Integer, nullable=False),  # what a better copy must surpass,
    Column("freedom", SmallInteger, nullable=False),  # rights.freedom of its licence,
    Column("credited", Boolean, nullable=False),  # and whether its author is known
    _timestamp("created_at", required=True),
    UniqueConstraint("scope", "sha256", name="fingerprints_exact"),
)

exports = Table(
    "exports",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("job", Integer, ForeignKey("crawler.jobs.id", ondelete="CASCADE"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("version", Integer, nullable=False),  # counts the datasets of a job, over all formats
    Column("format", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("awaited", Boolean, nullable=False),  # the job completes only with it
    Column("moves", Boolean, nullable=False, server_default=text("false")),  # once done, those of other tiers go
    Column("options", JSONB(none_as_null=True), nullable=False, server_default="{}"),  # ExportOptions.to_json
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    _timestamp("lease_until"),
    Column("progress", Integer, nullable=False, server_default="0"),  # percent of the pictures
    Column("key", Text),  # in storage, once done: of the file, or of the folder of several
    Column("size", BigInteger),
    Column("sha256", Text),  # of the file, or of what sha256sum prints of several
    Column("files", JSONB(none_as_null=True)),  # of several: [{name, size, sha256}, …]
    Column("pictures", Integer),
    Column("reason", Text),
    _timestamp("created_at", required=True),
    _timestamp("ended_at"),
    _one_of("format", ExportFormat),
    _one_of("tier", Tier),
    _one_of("state", ExportState),
    CheckConstraint("progress BETWEEN 0 AND 100", name="progress_in_percent"),
    CheckConstraint(
        "state <> 'done' OR (key IS NOT NULL AND size IS NOT NULL AND sha256 IS NOT NULL)", name="done_has_file"
    ),
    UniqueConstraint("job", "version", name="exports_version"),
    Index("exports_unfinished", "state", postgresql_where=text("state IN ('pending', 'building')")),
    Index("exports_undeleted", "job", postgresql_where=text("state = 'removed' AND key IS NOT NULL")),
)

takedowns = Table(
    "takedowns",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),  # assigned under the lock of what is withdrawn
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),  # takedowns.Subject.value
    Column("url", Text),  # as it was given
    Column("reason", Text, nullable=False),
    Column("booked_by", Text, nullable=False),
    Column("removed", Integer, nullable=False, server_default="0"),  # pictures
    _timestamp("created_at", required=True),
    _one_of("kind", Kind),
    UniqueConstraint("kind", "value", name="takedowns_value"),
)

hosts = Table(
    "hosts",
    metadata,
    Column("host", Text, primary_key=True),
    Column("not_before", DateTime(timezone=True), nullable=False),
    Column("reason", Text, nullable=False),
    _timestamp("updated_at", required=True),
)

sources = Table(
    "sources",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text),  # why it is not ok
    Column("report", JSONB(none_as_null=True), nullable=False),  # what the last check saw
    _timestamp("checked_at", required=True),
    _one_of("state", Health),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("owner", Uuid, nullable=False),
    Column("channel", Text, nullable=False),
    Column("message", JSONB(none_as_null=True), nullable=False),  # the notification: type, title, message, …
    Column("state", Text, nullable=False, server_default=MessageState.PENDING),
    Column("tries", Integer, nullable=False, server_default="0"),
    _timestamp("not_before", required=True),  # of the next try
    Column("reason", Text),  # why the last try failed
    _timestamp("created_at", required=True),
    _timestamp("ended_at"),
    _one_of("channel", Channel),
    _one_of("state", MessageState),
    Index("outbox_due", "not_before", postgresql_where=text("state = 'pending'")),
)

# Nobody misses it after a crash, so nobody waits for a disk.
rate_limits = Table(
    "rate_limits",
    metadata,
    Column("subject", Text, primary_key=True),  # "user:<uuid>", "key:<uuid>", "address:<ip>", …
    Column("minute", BigInteger, nullable=False),  # since the epoch
    Column("used", Integer, nullable=False),  # in that minute
    Column("before", Integer, nullable=False, server_default="0"),  # in the one before
    prefixes=["UNLOGGED"],
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", Text, nullable=False),  # its SHA-256
    Column("answer", JSONB(none_as_null=True)),
    _timestamp("created_at", required=True),
)

FUNNEL_ADDS_UP = """
CREATE FUNCTION crawler.funnel_adds_up(funnel jsonb) RETURNS boolean IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT coalesce((funnel->>'found')::bigint = (funnel->>'kept')::bigint
        + (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(funnel->'reasons')), false)
$$
"""
