"""More reasons why a candidate is not kept: opt-outs, rights, what the picture shows."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BEFORE = (
    *("abandoned", "aspect", "bad_url", "bomb", "cancelled", "crashed", "damaged", "duplicate_bytes"),
    *("duplicate_url", "firewall", "http_error", "kept", "near_duplicate", "not_an_image", "over_quota"),
    *("server_error", "timeout", "too_large", "too_small", "unreachable"),
)
NEW = (
    *("ai_txt", "animated", "blank", "blurred", "bright", "dark", "data_mining", "format", "licence", "paused"),
    *("placeholder", "robots", "tdm_reservation", "tdmrep", "trailing_data", "x_robots_tag"),
)
BEFORE_NOT_HOLDING = (
    *("abandoned", "cancelled", "duplicate_url", "over_quota", "server_error", "timeout", "unreachable"),
)


def upgrade() -> None:
    _replace(sorted((*BEFORE, *NEW)), sorted((*BEFORE_NOT_HOLDING, "paused")))


def downgrade() -> None:
    """Candidates with one of the new reasons must be gone."""
    _replace(sorted(BEFORE), sorted(BEFORE_NOT_HOLDING))


def _replace(decisions: list[str], not_holding: list[str]) -> None:
    op.execute("ALTER TABLE crawler.candidates DROP CONSTRAINT decision_known")
    op.execute(
        f"ALTER TABLE crawler.candidates ADD CONSTRAINT decision_known CHECK (decision IN ({_quoted(decisions)}))"
    )
    op.execute("DROP INDEX crawler.candidates_taken")
    op.execute(
        "CREATE UNIQUE INDEX candidates_taken ON crawler.candidates (job, url_key)"
        f" WHERE decision IS NULL OR decision NOT IN ({_quoted(not_holding)})"
    )


def _quoted(words: list[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
