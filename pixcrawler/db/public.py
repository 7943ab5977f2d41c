"""The mirror of schema `public`, the front end's: its rows are ours to read and write, its structure is not.

Foreign keys, indexes and checks are those of production. Times are `timestamptz` in databases we create; a foreign
one may have `timestamp`, which `db.engine` reads as UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    text,
)

from pixcrawler.db import auth
from pixcrawler.db.columns import (
    JSON,
    flags,
    gigabytes,
    integers,
    json_list,
    parent,
    required_text,
    serial,
    stamps,
    times,
    uuid,
)

metadata = MetaData(schema="public")

profiles = Table(
    "profiles",
    metadata,
    Column("id", Uuid, ForeignKey(auth.users.c.id, ondelete="CASCADE"), primary_key=True),
    Column("email", String(255), nullable=False, unique=True),
    Column("full_name", String(100)),
    Column("avatar_url", Text),
    required_text("role", 20, "user"),
    *flags(onboarding_completed=False),
    *times("onboarding_completed_at"),
    *stamps("created_at", "updated_at"),
)

projects = Table(
    "projects",
    metadata,
    serial(),
    required_text("name", 100),
    Column("description", Text),
    parent("user_id", "profiles"),
    required_text("status", 20, "active"),
    *stamps("created_at", "updated_at"),
    Index("idx_projects_user_id", "user_id"),
    Index("idx_projects_status", "status"),
)

crawl_jobs = Table(
    "crawl_jobs",
    metadata,
    serial(),
    parent("project_id", "projects"),
    required_text("name", 100),
    Column("keywords", JSON, nullable=False),
    *integers(max_images=1000),
    required_text("status", 20, "pending"),
    *integers(
        progress=0,
        total_images=0,
        downloaded_images=0,
        valid_images=0,
        total_chunks=0,
        active_chunks=0,
        completed_chunks=0,
        failed_chunks=0,
    ),
    json_list("task_ids"),
    *times("started_at", "completed_at"),
    *stamps("created_at", "updated_at"),
    Index("idx_crawl_jobs_project_id", "project_id"),
    Index("idx_crawl_jobs_status", "status"),
    Index("idx_crawl_jobs_created_at", "created_at"),
    Index("idx_crawl_jobs_project_status", "project_id", "status"),
)

images = Table(
    "images",
    metadata,
    serial(),
    parent("crawl_job_id", "crawl_jobs"),
    Column("original_url", Text, nullable=False),
    required_text("filename", 255),
    Column("storage_url", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("file_size", Integer),
    Column("format", String(10)),
    Column("hash", String(64)),
    *flags(is_valid=True, is_duplicate=False),
    Column("labels", JSON),
    Column("metadata", JSON),
    *stamps("downloaded_at", "created_at"),
    Index("idx_images_crawl_job_id", "crawl_job_id"),
    Index("idx_images_hash", "hash"),
)

activity_logs = Table(
    "activity_logs",
    metadata,
    serial(),
    Column("user_id", Uuid, ForeignKey("public.profiles.id", ondelete="CASCADE")),
    Column("action", Text, nullable=False),
    Column("resource_type", String(50)),
    Column("resource_id", String(50)),
    Column("metadata", JSON),
    *stamps("timestamp"),
    Index("idx_activity_logs_user_id", "user_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    uuid(),
    parent("user_id", "profiles"),
    required_text("name", 200),
    Column("key_hash", String(255), nullable=False, unique=True),
    required_text("key_prefix", 20),
    required_text("status", 20, "active"),
    json_list("permissions"),
    *integers(rate_limit=1000, usage_count=0),
    *times("last_used_at"),
    Column("last_used_ip", String(45)),
    *times("expires_at"),
    *stamps("created_at", "updated_at"),
    CheckConstraint("status IN ('active', 'revoked', 'expired')", name="api_keys_status_check"),
    CheckConstraint("rate_limit > 0", name="api_keys_rate_limit_check"),
    CheckConstraint("usage_count >= 0", name="api_keys_usage_count_check"),
    Index("idx_api_keys_user_id", "user_id"),
    Index("idx_api_keys_status", "status"),
)

credit_accounts = Table(
    "credit_accounts",
    metadata,
    uuid(),
    parent("user_id", "profiles", unique=True),
    *integers(current_balance=0, monthly_usage=0),
    *gigabytes(average_daily_usage=0),
    *flags(auto_refill_enabled=False),
    *integers(refill_threshold=100, refill_amount=500, monthly_limit=2000),
    *stamps("created_at", "updated_at"),
    CheckConstraint("current_balance >= 0", name="credit_accounts_current_balance_check"),
)

credit_transactions = Table(
    "credit_transactions",
    metadata,
    uuid(),
    parent("account_id", "credit_accounts"),
    parent("user_id", "profiles"),
    required_text("type", 20),
    Column("description", Text, nullable=False),
    Column("amount", Integer, nullable=False),  # negative: usage
    Column("balance_after", Integer, nullable=False),
    required_text("status", 20, "completed"),
    Column("metadata", JSON),
    *stamps("created_at"),
    CheckConstraint("type IN ('purchase', 'usage', 'refund', 'bonus')", name="credit_transactions_type_check"),
    Index("idx_credit_transactions_account_id", "account_id"),
    Index("idx_credit_transactions_user_id", "user_id"),
    Index("idx_credit_transactions_status", "status"),
    Index("idx_credit_transactions_created_at", "created_at"),
)

notifications = Table(
    "notifications",
    metadata,
    serial(),
    parent("user_id", "profiles"),
    required_text("type", 50),
    Column("category", String(50)),
    required_text("title", 255),
    Column("message", Text, nullable=False),
    Column("icon", String(50)),
    Column("color", String(20)),
    Column("action_url", Text),
    Column("action_label", String(100)),
    Column("metadata", JSON),
    *flags(is_read=False),
    *times("read_at"),
    *stamps("created_at"),
    CheckConstraint("type IN ('success', 'info', 'warning', 'error')", name="notifications_type_check"),
    Index("idx_notifications_user_id", "user_id"),
    Index("idx_notifications_created_at", "created_at"),
    Index("idx_notifications_unread", "user_id", postgresql_where=text("NOT is_read")),
)

notification_preferences = Table(
    "notification_preferences",
    metadata,
    uuid(),
    parent("user_id", "profiles", unique=True),
    *flags(
        email_enabled=True,
        push_enabled=False,
        sms_enabled=False,
        crawl_jobs_enabled=True,
        datasets_enabled=True,
        billing_enabled=True,
        security_enabled=True,
        marketing_enabled=False,
        product_updates_enabled=True,
    ),
    required_text("digest_frequency", 20, "daily"),
    Column("quiet_hours_start", Time),
    Column("quiet_hours_end", Time),
    *stamps("created_at", "updated_at"),
)

usage_metrics = Table(
    "usage_metrics",
    metadata,
    uuid(),
    parent("user_id", "profiles"),
    Column("metric_date", Date, nullable=False),
    *integers(images_processed=0, images_limit=10_000),
    *gigabytes(storage_used_gb=0, storage_limit_gb=100),
    *integers(api_calls=0, api_calls_limit=50_000),
    *gigabytes(bandwidth_used_gb=0, bandwidth_limit_gb=500),
    *stamps("created_at"),
    # Not on every foreign database: an upsert must not rely on it.
    UniqueConstraint("user_id", "metric_date", name="usage_metrics_user_id_metric_date_key"),
)
