"""Pictures that were taken back, and by what they are known when they come again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BEFORE = (
    *("abandoned", "ai_txt", "animated", "aspect", "bad_url", "blank", "blurred", "bomb", "bright", "cancelled"),
    *("crashed", "damaged", "dark", "data_mining", "duplicate_bytes", "duplicate_url", "filter", "firewall", "format"),
    *("http_error", "kept", "licence", "near_duplicate", "not_an_image", "over_quota", "paused", "placeholder"),
    *("replaced", "robots", "server_error", "tdm_reservation", "tdmrep", "timeout", "too_large", "too_small"),
    *("trailing_data", "unreachable", "x_robots_tag"),
)


def upgrade() -> None:
    _replace(sorted((*BEFORE, "withdrawn")))
    op.add_column("jobs", sa.Column("withdrawn", sa.Integer(), server_default="0", nullable=False), schema="crawler")
    op.create_table(
        "takedowns",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("url", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("booked_by", sa.Text(), nullable=False),
        sa.Column("removed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('creator', 'sha256', 'url')", name="kind_known"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "value", name="takedowns_value"),
        schema="crawler",
    )


def downgrade() -> None:
    """Candidates that were withdrawn must be gone. What was taken back may come again."""
    op.drop_table("takedowns", schema="crawler")
    op.drop_column("jobs", "withdrawn", schema="crawler")
    op.execute("DELETE FROM crawler.fingerprints WHERE scope = 'withdrawn'")
    _replace(sorted(BEFORE))


def _replace(decisions: list[str]) -> None:
    quoted = ", ".join(f"'{word}'" for word in decisions)
    op.execute("ALTER TABLE crawler.candidates DROP CONSTRAINT decision_known")
    op.execute(f"ALTER TABLE crawler.candidates ADD CONSTRAINT decision_known CHECK (decision IN ({quoted}))")
