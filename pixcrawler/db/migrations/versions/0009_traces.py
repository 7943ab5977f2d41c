"""A trace for every job: what is said about it anywhere carries it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("trace", sa.Text(), server_default=sa.text("replace(gen_random_uuid()::text, '-', '')"))
    op.add_column("jobs", column, schema="crawler")
    op.alter_column("jobs", "trace", nullable=False, schema="crawler")


def downgrade() -> None:
    op.drop_column("jobs", "trace", schema="crawler")
