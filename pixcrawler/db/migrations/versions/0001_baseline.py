"""Creates what belongs to the front end, where it is missing: schema `auth`, as small as we need it, and `public`.

A database that has `public.crawl_jobs` is left as it is. One with Supabase's `auth` but without that table is refused:
its tables must come from the front end.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from pixcrawler.errors import SchemaMismatch

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "public"

UID = """
CREATE FUNCTION auth.uid() RETURNS uuid STABLE LANGUAGE sql AS $$
    SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$
"""


def upgrade() -> None:
    if _exists("public.crawl_jobs"):
        return
    if _exists("auth.users"):
        raise SchemaMismatch("this database has users but no public.crawl_jobs: apply the front end's migrations first")
    _create_auth()
    _create_accounts()
    _create_work()


def downgrade() -> None:
    """Leaves the tables alone: whoever made them, the rows are not ours to drop."""


def _exists(table: str) -> bool:
    return op.get_bind().scalar(sa.text("SELECT to_regclass(:table)"), {"table": table}) is not None


def _create_auth() -> None:
    op.execute("CREATE SCHEMA auth")
    op.execute("COMMENT ON SCHEMA auth IS 'created by PixCrawler'")
    op.execute(UID)
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("email", sa.String(length=255)),
        sa.Column("raw_user_meta_data", JSONB()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="auth",
    )


def _create_accounts() -> None:
    op.create_table(
        "profiles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("full_name", sa.String(length=100)),
        sa.Column("avatar_url", sa.Text()),
        sa.Column("role", sa.String(length=20), server_default="user", nullable=False),
        sa.Column("onboarding_completed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("onboarding_completed_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["id"], ["auth.users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
        schema=SCHEMA,
    )
    op.create_table(
        "activity_logs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.String(length=50)),
        sa.Column("resource_id", sa.String(length=50)),
        sa.Column("metadata", JSONB()),
        sa.Column("timestamp", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["public.profiles.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("idx_activity_logs_user_id", "activity_logs", ["user_id"], schema=SCHEMA)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("key_hash", sa.String(length=255), nullable=False),
        sa.Column("key_prefix", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), server_default="active", nullable=False),
        sa.Column("permissions", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("rate_limit", sa.Integer(), server_default=sa.text("1000"), nullable=False),
        sa.Column("usage_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_ip", sa.String(length=45)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('active', 'revoked', 'expired')", name="api_keys_status_check"),
        sa.CheckConstraint("rate_limit > 0", name="api_keys_rate_limit_check"),
        sa.CheckConstraint("usage_count >= 0", name="api_keys_usage_count_check"),
        sa.ForeignKeyConstraint(["user_id"], ["public.profiles.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_hash"),
        schema=SCHEMA,
    )
    op.create_index("idx_api_keys_status", "api_keys", ["status"], schema=SCHEMA)
    op.create_index("idx_api_keys_user_id", "api_keys", ["user_id"], schema=SCHEMA)
    op.create_table(
        "credit_accounts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("current_balance", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("monthly_usage", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "average_daily_usage", sa.Numeric(precision=10, scale=2), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("auto_refill_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("refill_threshold", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("refill_amount", sa.Integer(), server_default=sa.text("500"), nullable=False),
        sa.Column("monthly_limit", sa.Integer(), server_default=sa.text("2000"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("current_balance >= 0", name="credit_accounts_current_balance_check"),
        sa.ForeignKeyConstraint(["user_id"], ["public.profiles.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id"),
        schema=SCHEMA,
    )
    op.create_table(
        "notification_preferences",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("email_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("push_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sms_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("crawl_jobs_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("datasets_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("billing_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("security_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("marketing_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("product_updates_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("digest_frequency", sa.String(length=20), server_default="daily", nullable=False),
        sa.Column("quiet_hours_start", sa.Time()),
        sa.Column("quiet_hours_end", sa.Time()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["public.profiles.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id"),
        schema=SCHEMA,
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("category", sa.String(length=50)),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("icon", sa.String(length=50)),
        sa.Column("color", sa.String(length=20)),
        sa.Column("action_url", sa.Text()),
        sa.Column("action_label", sa.String(length=100)),
        sa.Column("metadata", JSONB()),
        sa.Column("is_read", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("type IN ('success', 'info', 'warning', 'error')", name="notifications_type_check"),
        sa.ForeignKeyConstraint(["user_id"], ["public.profiles.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("idx_notifications_created_at", "notifications", ["created_at"], schema=SCHEMA)
    op.create_index(
        "idx_notifications_unread", "notifications", ["user_id"], schema=SCHEMA, postgresql_where=sa.text("NOT is_read")
    )
    op.create_index("idx_notifications_user_id", "notifications", ["user_id"], schema=SCHEMA)
    op.create_table(
        "usage_metrics",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("metric_date", sa.Date(), nullable=False),
        sa.Column("images_processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("images_limit", sa.Integer(), server_default=sa.text("10000"), nullable=False),
        sa.Column("storage_used_gb", sa.Numeric(precision=10, scale=2), server_default=sa.text("0"), nullable=False),
        sa.Column("storage_limit_gb", sa.Numeric(precision=10, scale=2), server_default=sa.text("100"), nullable=False),
        sa.Column("api_calls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("api_calls_limit", sa.Integer(), server_default=sa.text("50000"), nullable=False),
        sa.Column("bandwidth_used_gb", sa.Numeric(precision=10, scale=2), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "bandwidth_limit_gb", sa.Numeric(precision=10, scale=2), server_default=sa.text("500"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["public.profiles.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id", "metric_date", name="usage_metrics_user_id_metric_date_key"),
        schema=SCHEMA,
    )
    op.create_table(
        "credit_transactions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("balance_after", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), server_default="completed", nullable=False),
        sa.Column("metadata", JSONB()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("type IN ('purchase', 'usage', 'refund', 'bonus')", name="credit_transactions_type_check"),
        sa.ForeignKeyConstraint(["account_id"], ["public.credit_accounts.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["public.profiles.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("idx_credit_transactions_account_id", "credit_transactions", ["account_id"], schema=SCHEMA)
    op.create_index("idx_credit_transactions_created_at", "credit_transactions", ["created_at"], schema=SCHEMA)
    op.create_index("idx_credit_transactions_status", "credit_transactions", ["status"], schema=SCHEMA)
    op.create_index("idx_credit_transactions_user_id", "credit_transactions", ["user_id"], schema=SCHEMA)


def _create_work() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=20), server_default="active", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["public.profiles.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("idx_projects_status", "projects", ["status"], schema=SCHEMA)
    op.create_index("idx_projects_user_id", "projects", ["user_id"], schema=SCHEMA)
    op.create_table(
        "crawl_jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("keywords", JSONB(), nullable=False),
        sa.Column("max_images", sa.Integer(), server_default=sa.text("1000"), nullable=False),
        sa.Column("status", sa.String(length=20), server_default="pending", nullable=False),
        sa.Column("progress", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_images", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("downloaded_images", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("valid_images", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_chunks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("active_chunks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("completed_chunks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed_chunks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("task_ids", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["public.projects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("idx_crawl_jobs_created_at", "crawl_jobs", ["created_at"], schema=SCHEMA)
    op.create_index("idx_crawl_jobs_project_id", "crawl_jobs", ["project_id"], schema=SCHEMA)
    op.create_index("idx_crawl_jobs_project_status", "crawl_jobs", ["project_id", "status"], schema=SCHEMA)
    op.create_index("idx_crawl_jobs_status", "crawl_jobs", ["status"], schema=SCHEMA)
    op.create_table(
        "images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("crawl_job_id", sa.Integer(), nullable=False),
        sa.Column("original_url", sa.Text(), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("storage_url", sa.Text()),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("file_size", sa.Integer()),
        sa.Column("format", sa.String(length=10)),
        sa.Column("hash", sa.String(length=64)),
        sa.Column("is_valid", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_duplicate", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("labels", JSONB()),
        sa.Column("metadata", JSONB()),
        sa.Column("downloaded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["crawl_job_id"], ["public.crawl_jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("idx_images_crawl_job_id", "images", ["crawl_job_id"], schema=SCHEMA)
    op.create_index("idx_images_hash", "images", ["hash"], schema=SCHEMA)
