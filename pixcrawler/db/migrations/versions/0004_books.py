"""The books of a job: what was asked for and paid, what a dataset weighs; and the outbox of mails and webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "crawler"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("requested", sa.Integer(), server_default="0", nullable=False), schema=SCHEMA)
    op.add_column("jobs", sa.Column("hold", sa.Uuid()), schema=SCHEMA)
    op.add_column("jobs", sa.Column("charged", sa.Integer(), server_default="0", nullable=False), schema=SCHEMA)
    op.add_column("jobs", sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False), schema=SCHEMA)
    op.add_column("jobs", sa.Column("pruned_at", sa.DateTime(timezone=True)), schema=SCHEMA)
    op.execute("UPDATE crawler.jobs SET requested = asked, charged = kept")
    op.create_check_constraint("charged_within_kept", "jobs", "charged BETWEEN 0 AND kept", schema=SCHEMA)
    op.create_index("jobs_owner", "jobs", ["owner"], schema=SCHEMA)
    op.create_index("jobs_finished", "jobs", ["finished_at"], schema=SCHEMA)
    unswept = sa.text("swept_at IS NULL")
    op.create_index("jobs_unswept", "jobs", ["id"], schema=SCHEMA, postgresql_where=unswept)
    _create_outbox()


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("message", JSONB(none_as_null=True), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("channel IN ('email', 'webhook')", name="channel_known"),
        sa.CheckConstraint("state IN ('failed', 'pending', 'sent')", name="state_known"),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    due = sa.text("state = 'pending'")
    op.create_index("outbox_due", "outbox", ["not_before"], schema=SCHEMA, postgresql_where=due)


def downgrade() -> None:
    op.drop_table("outbox", schema=SCHEMA)
    op.drop_index("jobs_unswept", "jobs", schema=SCHEMA)
    op.drop_index("jobs_finished", "jobs", schema=SCHEMA)
    op.drop_index("jobs_owner", "jobs", schema=SCHEMA)
    for column in ("pruned_at", "bytes", "charged", "hold", "requested"):
        op.drop_column("jobs", column, schema=SCHEMA)
