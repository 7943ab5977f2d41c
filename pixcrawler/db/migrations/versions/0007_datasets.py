"""Datasets in several formats, files and tiers, made for a job or on demand, and removed one day; leases of sweeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "crawler"
BEFORE = ("building", "cancelled", "done", "failed", "pending")
FORMATS = ("7z", "csv", "jsonl", "parquet", "webdataset", "zip")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("sweep_until", sa.DateTime(timezone=True)), schema=SCHEMA)
    op.add_column("exports", sa.Column("moves", sa.Boolean(), server_default="false", nullable=False), schema=SCHEMA)
    op.add_column(
        "exports", sa.Column("options", JSONB(none_as_null=True), server_default="{}", nullable=False), schema=SCHEMA
    )
    op.add_column("exports", sa.Column("progress", sa.Integer(), server_default="0", nullable=False), schema=SCHEMA)
    op.add_column("exports", sa.Column("files", JSONB(none_as_null=True)), schema=SCHEMA)
    op.add_column("exports", sa.Column("pictures", sa.Integer()), schema=SCHEMA)
    _replace_states((*BEFORE, "removed"))
    op.create_check_constraint("format_known", "exports", f"format IN ({_quoted(FORMATS)})", schema=SCHEMA)
    op.create_check_constraint("tier_known", "exports", "tier IN ('hot', 'warm')", schema=SCHEMA)
    op.create_check_constraint("progress_in_percent", "exports", "progress BETWEEN 0 AND 100", schema=SCHEMA)
    undeleted = sa.text("state = 'removed' AND key IS NOT NULL")
    op.create_index("exports_undeleted", "exports", ["job"], schema=SCHEMA, postgresql_where=undeleted)


def downgrade() -> None:
    """Files of datasets in other formats than ZIP stay where they are, and nobody knows them any more."""
    op.drop_index("exports_undeleted", "exports", schema=SCHEMA)
    for name in ("progress_in_percent", "tier_known", "format_known"):
        op.drop_constraint(name, "exports", schema=SCHEMA)
    op.execute("DELETE FROM crawler.exports WHERE state = 'removed' OR format <> 'zip' OR NOT awaited")
    _replace_states(BEFORE)
    for name in ("pictures", "files", "progress", "options", "moves"):
        op.drop_column("exports", name, schema=SCHEMA)
    op.drop_column("jobs", "sweep_until", schema=SCHEMA)


def _replace_states(states: tuple[str, ...]) -> None:
    op.drop_constraint("state_known", "exports", schema=SCHEMA)
    op.create_check_constraint("state_known", "exports", f"state IN ({_quoted(states)})", schema=SCHEMA)


def _quoted(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)
