"""Schema `auth`, which belongs to Supabase: as much of it as we need, created only where it is missing."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, String, Table

from pixcrawler.db.columns import JSON, stamps, uuid

CREATED_BY_US = "created by PixCrawler"  # the comment on the schema where it was not Supabase

metadata = MetaData(schema="auth")

users = Table(
    "users",
    metadata,
    uuid(),
    Column("email", String(255)),
    Column("raw_user_meta_data", JSON),
    *stamps("created_at"),
)
