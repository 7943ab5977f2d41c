"""Creates the tables of schema `crawler`, which is ours alone: the front end's roles have no rights in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "crawler"
TABLES = ("jobs", "runs", "attempts", "candidates", "fingerprints", "exports", "hosts")

FUNNEL_ADDS_UP = """
CREATE FUNCTION crawler.funnel_adds_up(funnel jsonb) RETURNS boolean IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT coalesce((funnel->>'found')::bigint = (funnel->>'kept')::bigint
        + (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(funnel->'reasons')), false)
$$
"""

REVOKE = """
DO $$
DECLARE
    outsider text;
BEGIN
    REVOKE ALL ON SCHEMA crawler FROM PUBLIC;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA crawler FROM PUBLIC;
    FOR outsider IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA crawler FROM %I', outsider);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA crawler FROM %I', outsider);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA crawler FROM %I', outsider);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA crawler FROM %I', outsider);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute(FUNNEL_ADDS_UP)
    _create_jobs()
    _create_runs()
    _create_attempts()
    _create_candidates()
    _create_fingerprints()
    _create_exports()
    _create_hosts()
    op.execute(REVOKE)


def downgrade() -> None:
    """Drops everything but the schema itself: Alembic still has to note in it that nothing is left."""
    for table in reversed(TABLES):
        op.drop_table(table, schema=SCHEMA)
    op.execute("DROP FUNCTION crawler.funnel_adds_up")


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("owner", sa.Uuid()),
        sa.Column("project_id", sa.Integer()),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("keywords", JSONB(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Integer(), server_default="0", nullable=False),
        sa.Column("options", JSONB(), server_default="{}", nullable=False),
        sa.Column("progress", sa.Integer(), server_default="0", nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("deadline", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("planned_at", sa.DateTime(timezone=True)),
        sa.Column("projected_at", sa.DateTime(timezone=True)),
        sa.Column("swept_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('cancelled', 'cancelling', 'completed', 'crawling', 'exporting', 'failed', 'pending')",
            name="state_known",
        ),
        sa.CheckConstraint("kept BETWEEN 0 AND asked", name="kept_within_asked"),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("jobs_state", "jobs", ["state"], schema=SCHEMA)


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("slices", JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True)),
        sa.Column("outcome", sa.Text()),
        sa.Column("funnel", JSONB()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('cancelled', 'deferred', 'failed', 'pending', 'running', 'short', 'succeeded')",
            name="state_known",
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'running', 'deferred') OR (funnel IS NOT NULL AND crawler.funnel_adds_up(funnel))",
            name="funnel_adds_up",
        ),
        sa.ForeignKeyConstraint(["job"], ["crawler.jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("runs_job", "runs", ["job"], schema=SCHEMA)
    op.create_index(
        "runs_unfinished",
        "runs",
        ["state"],
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('pending', 'running', 'deferred')"),
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job", sa.Integer(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True)),
        sa.Column("decided", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cancel_sent_at", sa.DateTime(timezone=True)),
        sa.Column("log", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('cancelled', 'deferred', 'dispatched', 'dispatching', 'failed', "
            "'lost', 'running', 'short', 'succeeded', 'undelivered')",
            name="state_known",
        ),
        sa.ForeignKeyConstraint(["run"], ["crawler.runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "attempt"),
        schema=SCHEMA,
    )
    op.create_index(
        "attempts_active",
        "attempts",
        ["node"],
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('dispatched', 'dispatching', 'running')"),
    )
    op.create_index(
        "attempts_one_active",
        "attempts",
        ["run"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('dispatched', 'dispatching', 'running')"),
    )


def _create_candidates() -> None:
    op.create_table(
        "candidates",
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("url_key", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job", sa.Integer(), nullable=False),
        sa.Column("keyword", sa.Text(), nullable=False),
        sa.Column("item", JSONB(), nullable=False),
        sa.Column("begun", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("received", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("decision", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("image_id", sa.Integer()),
        sa.Column("found_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "decision IN ('abandoned', 'aspect', 'bad_url', 'bomb', 'cancelled', 'crashed', "
            "'damaged', 'duplicate_bytes', 'duplicate_url', 'firewall', 'http_error', "
            "'kept', 'near_duplicate', 'not_an_image', 'over_quota', 'server_error', "
            "'timeout', 'too_large', 'too_small', 'unreachable')",
            name="decision_known",
        ),
        sa.ForeignKeyConstraint(["run"], ["crawler.runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "url_key"),
        schema=SCHEMA,
    )
    op.create_index("candidates_decision", "candidates", ["job", "run", "decision"], schema=SCHEMA)
    op.create_index("candidates_keyword", "candidates", ["run", "keyword", "seq"], schema=SCHEMA)
    op.create_index(
        "candidates_open", "candidates", ["run", "seq"], schema=SCHEMA, postgresql_where=sa.text("decision IS NULL")
    )
    op.create_index(
        "candidates_taken",
        "candidates",
        ["job", "url_key"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text(
            "decision IS NULL OR decision NOT IN ('abandoned', 'cancelled', 'duplicate_url', "
            "'over_quota', 'server_error', 'timeout', 'unreachable')"
        ),
    )


def _create_fingerprints() -> None:
    op.create_table(
        "fingerprints",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("phash", ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("dct256", sa.LargeBinary()),
        sa.Column("colours", sa.LargeBinary()),
        sa.Column("algorithm", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("scope", "seq"),
        sa.UniqueConstraint("scope", "sha256", name="fingerprints_exact"),
        schema=SCHEMA,
    )


def _create_exports() -> None:
    op.create_table(
        "exports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("awaited", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("key", sa.Text()),
        sa.Column("size", sa.BigInteger()),
        sa.Column("sha256", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state <> 'done' OR (key IS NOT NULL AND size IS NOT NULL AND sha256 IS NOT NULL)", name="done_has_file"
        ),
        sa.CheckConstraint("state IN ('building', 'cancelled', 'done', 'failed', 'pending')", name="state_known"),
        sa.ForeignKeyConstraint(["job"], ["crawler.jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job", "version", name="exports_version"),
        schema=SCHEMA,
    )
    op.create_index(
        "exports_unfinished",
        "exports",
        ["state"],
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('pending', 'building')"),
    )


def _create_hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("host"),
        schema=SCHEMA,
    )
