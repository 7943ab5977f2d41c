"""Codes and fingerprints of pictures as wholes, what makes a copy the better one, and who was dropped for whom."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BEFORE = (
    *("abandoned", "ai_txt", "animated", "aspect", "bad_url", "blank", "blurred", "bomb", "bright", "cancelled"),
    *("crashed", "damaged", "dark", "data_mining", "duplicate_bytes", "duplicate_url", "filter", "firewall", "format"),
    *("http_error", "kept", "licence", "near_duplicate", "not_an_image", "over_quota", "paused", "placeholder"),
    *("robots", "server_error", "tdm_reservation", "tdmrep", "timeout", "too_large", "too_small", "trailing_data"),
    *("unreachable", "x_robots_tag"),
)


def upgrade() -> None:
    """Codes made before cannot be compared with those made from now on: such pictures are only found exactly."""
    _replace(sorted((*BEFORE, "replaced")))
    op.add_column("candidates", sa.Column("duplicate_of", sa.Integer()), schema="crawler")
    op.add_column("candidates", sa.Column("distance", sa.SmallInteger()), schema="crawler")
    op.add_column("candidates", sa.Column("likeness", sa.REAL()), schema="crawler")
    op.create_index(
        "candidates_copies",
        "candidates",
        ["job", "duplicate_of"],
        schema="crawler",
        postgresql_where=sa.text("duplicate_of IS NOT NULL"),
    )
    for name in ("phash", "dct256", "colours"):
        op.drop_column("fingerprints", name, schema="crawler")
    _add("codes", sa.LargeBinary(), "''")
    _add("fingerprint", sa.LargeBinary(), "''")
    _add("pixels", sa.Integer(), "0")
    _add("freedom", sa.SmallInteger(), "0")
    _add("credited", sa.Boolean(), "false")
    # Four rows fit a page. PostgreSQL would try to compress what cannot be, and put it elsewhere.
    for name in ("codes", "fingerprint"):
        op.execute(f"ALTER TABLE crawler.fingerprints ALTER COLUMN {name} SET STORAGE PLAIN")


def downgrade() -> None:
    """Candidates that were replaced must be gone."""
    for name in ("credited", "freedom", "pixels", "fingerprint", "codes"):
        op.drop_column("fingerprints", name, schema="crawler")
    _add("phash", ARRAY(sa.BigInteger()), "'{}'")
    for name in ("dct256", "colours"):
        op.add_column("fingerprints", sa.Column(name, sa.LargeBinary()), schema="crawler")
    op.drop_index("candidates_copies", "candidates", schema="crawler")
    for name in ("likeness", "distance", "duplicate_of"):
        op.drop_column("candidates", name, schema="crawler")
    _replace(sorted(BEFORE))


def _add(name: str, kind: sa.types.TypeEngine[Any], of_old_rows: str) -> None:
    column: sa.Column[Any] = sa.Column(name, kind, server_default=sa.text(of_old_rows), nullable=False)
    op.add_column("fingerprints", column, schema="crawler")
    op.alter_column("fingerprints", name, server_default=None, schema="crawler")


def _replace(decisions: list[str]) -> None:
    quoted = ", ".join(f"'{word}'" for word in decisions)
    op.execute("ALTER TABLE crawler.candidates DROP CONSTRAINT decision_known")
    op.execute(f"ALTER TABLE crawler.candidates ADD CONSTRAINT decision_known CHECK (decision IN ({quoted}))")
