/**
 * The shared tables as the front end declares them: times without a zone, foreign keys that restrict, no checks.
 *
 * `profiles.id` is the `id` of `auth.users`; there is no foreign key, as schema `auth` is not Drizzle's.
 */
import {
  boolean,
  integer,
  jsonb,
  numeric,
  pgTable,
  serial,
  text,
  time,
  timestamp,
  uuid,
  varchar,
} from "drizzle-orm/pg-core";

const stamp = () => timestamp().notNull().defaultNow();
const decimal = (normal: number) => numeric({ precision: 10, scale: 2 }).notNull().default(String(normal));
const flag = (normal: boolean) => boolean().notNull().default(normal);
const count = (normal = 0) => integer().notNull().default(normal);
const owner = () => uuid().notNull().references(() => profiles.id);

export const profiles = pgTable("profiles", {
  id: uuid().primaryKey(),
  email: varchar({ length: 255 }).notNull().unique(),
  full_name: varchar({ length: 100 }),
  avatar_url: text(),
  role: varchar({ length: 20, enum: ["user", "admin"] }).notNull().default("user"),
  onboarding_completed: flag(false),
  onboarding_completed_at: timestamp(),
  created_at: stamp(),
  updated_at: stamp(),
});

export const projects = pgTable("projects", {
  id: serial().primaryKey(),
  name: varchar({ length: 100 }).notNull(),
  description: text(),
  user_id: owner(),
  status: varchar({ length: 20, enum: ["active", "archived", "deleted"] }).notNull().default("active"),
  created_at: stamp(),
  updated_at: stamp(),
});

export const crawl_jobs = pgTable("crawl_jobs", {
  id: serial().primaryKey(),
  project_id: integer().notNull().references(() => projects.id),
  name: varchar({ length: 100 }).notNull(),
  keywords: jsonb().notNull(),
  max_images: count(1000),
  status: varchar({ length: 20, enum: ["pending", "running", "completed", "failed", "cancelled"] })
    .notNull()
    .default("pending"),
  progress: count(),
  total_images: count(),
  downloaded_images: count(),
  valid_images: count(),
  total_chunks: count(),
  active_chunks: count(),
  completed_chunks: count(),
  failed_chunks: count(),
  task_ids: jsonb().notNull().default([]),
  started_at: timestamp(),
  completed_at: timestamp(),
  created_at: stamp(),
  updated_at: stamp(),
});

export const images = pgTable("images", {
  id: serial().primaryKey(),
  crawl_job_id: integer().notNull().references(() => crawl_jobs.id),
  original_url: text().notNull(),
  filename: varchar({ length: 255 }).notNull(),
  storage_url: text(),
  width: integer(),
  height: integer(),
  file_size: integer(),
  format: varchar({ length: 10 }),
  hash: varchar({ length: 64 }),
  is_valid: flag(true),
  is_duplicate: flag(false),
  labels: jsonb(),
  metadata: jsonb(),
  downloaded_at: stamp(),
  created_at: stamp(),
});

export const activity_logs = pgTable("activity_logs", {
  id: serial().primaryKey(),
  user_id: uuid().references(() => profiles.id),
  action: text().notNull(),
  resource_type: varchar({ length: 50 }),
  resource_id: varchar({ length: 50 }),
  metadata: jsonb(),
  timestamp: stamp(),
});

export const api_keys = pgTable("api_keys", {
  id: uuid().primaryKey().defaultRandom(),
  user_id: owner(),
  name: varchar({ length: 200 }).notNull(),
  key_hash: varchar({ length: 255 }).notNull().unique(),
  key_prefix: varchar({ length: 20 }).notNull(),
  status: varchar({ length: 20, enum: ["active", "revoked", "expired"] }).notNull().default("active"),
  permissions: jsonb().notNull().default([]),
  rate_limit: count(1000),
  usage_count: count(),
  last_used_at: timestamp(),
  last_used_ip: varchar({ length: 45 }),
  expires_at: timestamp(),
  created_at: stamp(),
  updated_at: stamp(),
});

export const credit_accounts = pgTable("credit_accounts", {
  id: uuid().primaryKey().defaultRandom(),
  user_id: owner().unique(),
  current_balance: count(),
  monthly_usage: count(),
  average_daily_usage: decimal(0),
  auto_refill_enabled: flag(false),
  refill_threshold: count(100),
  refill_amount: count(500),
  monthly_limit: count(2000),
  created_at: stamp(),
  updated_at: stamp(),
});

export const credit_transactions = pgTable("credit_transactions", {
  id: uuid().primaryKey().defaultRandom(),
  account_id: uuid().notNull().references(() => credit_accounts.id),
  user_id: owner(),
  type: varchar({ length: 20, enum: ["purchase", "usage", "refund", "bonus"] }).notNull(),
  description: text().notNull(),
  amount: integer().notNull(),
  balance_after: integer().notNull(),
  status: varchar({ length: 20, enum: ["completed", "pending", "failed", "cancelled"] }).notNull().default("completed"),
  metadata: jsonb(),
  created_at: stamp(),
});

export const notifications = pgTable("notifications", {
  id: serial().primaryKey(),
  user_id: owner(),
  type: varchar({ length: 50, enum: ["success", "info", "warning", "error"] }).notNull(),
  category: varchar({ length: 50, enum: ["crawl_job", "payment", "system", "security", "dataset", "project"] }),
  title: varchar({ length: 255 }).notNull(),
  message: text().notNull(),
  icon: varchar({ length: 50 }),
  color: varchar({ length: 20 }),
  action_url: text(),
  action_label: varchar({ length: 100 }),
  metadata: jsonb(),
  is_read: flag(false),
  read_at: timestamp(),
  created_at: stamp(),
});

export const notification_preferences = pgTable("notification_preferences", {
  id: uuid().primaryKey().defaultRandom(),
  user_id: owner().unique(),
  email_enabled: flag(true),
  push_enabled: flag(false),
  sms_enabled: flag(false),
  crawl_jobs_enabled: flag(true),
  datasets_enabled: flag(true),
  billing_enabled: flag(true),
  security_enabled: flag(true),
  marketing_enabled: flag(false),
  product_updates_enabled: flag(true),
  digest_frequency: varchar({ length: 20, enum: ["realtime", "daily", "weekly", "never"] }).notNull().default("daily"),
  quiet_hours_start: time(),
  quiet_hours_end: time(),
  created_at: stamp(),
  updated_at: stamp(),
});

export const usage_metrics = pgTable("usage_metrics", {
  id: uuid().primaryKey().defaultRandom(),
  user_id: owner(),
  metric_date: timestamp().notNull(),
  images_processed: count(),
  images_limit: count(10_000),
  storage_used_gb: decimal(0),
  storage_limit_gb: decimal(100),
  api_calls: count(),
  api_calls_limit: count(50_000),
  bandwidth_used_gb: decimal(0),
  bandwidth_limit_gb: decimal(500),
  created_at: stamp(),
});
