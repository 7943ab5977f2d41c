"""Indexes for what dispatchers ask at every tick, however long the history is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "crawler"
AT_WORK = sa.text("state IN ('cancelling', 'crawling', 'exporting')")


def upgrade() -> None:
    op.create_index("jobs_at_work", "jobs", ["owner"], schema=SCHEMA, postgresql_where=AT_WORK)
    op.create_index("attempts_job", "attempts", ["job"], schema=SCHEMA)
    op.create_index("attempts_ended", "attempts", ["ended_at"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_index("attempts_ended", "attempts", schema=SCHEMA)
    op.drop_index("attempts_job", "attempts", schema=SCHEMA)
    op.drop_index("jobs_at_work", "jobs", schema=SCHEMA)
