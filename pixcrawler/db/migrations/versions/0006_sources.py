"""What checks found of the sources, and a reason for pictures that a job's filters leave out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BEFORE = (
    *("abandoned", "ai_txt", "animated", "aspect", "bad_url", "blank", "blurred", "bomb", "bright", "cancelled"),
    *("crashed", "damaged", "dark", "data_mining", "duplicate_bytes", "duplicate_url", "firewall", "format"),
    *("http_error", "kept", "licence", "near_duplicate", "not_an_image", "over_quota", "paused", "placeholder"),
    *("robots", "server_error", "tdm_reservation", "tdmrep", "timeout", "too_large", "too_small", "trailing_data"),
    *("unreachable", "x_robots_tag"),
)


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("report", JSONB(none_as_null=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('broken', 'ok', 'unreachable')", name="state_known"),
        sa.PrimaryKeyConstraint("name"),
        schema="crawler",
    )
    _replace(sorted((*BEFORE, "filter")))


def downgrade() -> None:
    """Candidates that a filter has left out must be gone."""
    _replace(sorted(BEFORE))
    op.drop_table("sources", schema="crawler")


def _replace(decisions: list[str]) -> None:
    quoted = ", ".join(f"'{word}'" for word in decisions)
    op.execute("ALTER TABLE crawler.candidates DROP CONSTRAINT decision_known")
    op.execute(f"ALTER TABLE crawler.candidates ADD CONSTRAINT decision_known CHECK (decision IN ({quoted}))")
