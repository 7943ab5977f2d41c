/** A user does what users may, and tries what nobody may. What is allowed is taken back; what is forbidden is not. */
import { and, eq, getTableName, sql, TransactionRollbackError } from "drizzle-orm";
import * as schema from "./schema.ts";
import { as, given, leave, report, type Role, type Transaction } from "./session.ts";

interface Owner {
  user: string;
  project: number;
  job: number;
  account: string;
}

const OUTCOMES: Record<string, string> = { "42501": "denied", "23505": "exists", "23503": "in use" };

const mine = given<Owner>("MINE");
const theirs = given<Owner>("THEIRS");
const newcomer = given<string>("NEWCOMER"); // signed in, but without a profile

/** For each table: whose a row is, a change to it, and what else a new one needs. */
function belongings({ user, project, job, account }: Owner) {
  const user_id = user;
  return [
    [schema.profiles, { id: user }, { full_name: "X" }, { email: "x@front-end.example" }],
    [schema.projects, { user_id }, { name: "X" }, { name: "X" }],
    [schema.crawl_jobs, { project_id: project }, { name: "X" }, { name: "X", keywords: ["x"] }],
    [schema.images, { crawl_job_id: job }, { is_valid: false }, { original_url: "x", filename: "x" }],
    [schema.activity_logs, { user_id }, { action: "X" }, { action: "SIGN_IN" }],
    [schema.api_keys, { user_id }, { name: "X" }, { name: "X", key_hash: "x", key_prefix: "x" }],
    [schema.credit_accounts, { user_id }, { current_balance: 9999 }, { current_balance: 9999 }],
    [
      schema.credit_transactions,
      { user_id, account_id: account },
      { amount: 9999 },
      { type: "bonus", description: "x", amount: 9999, balance_after: 9999 },
    ],
    [schema.notifications, { user_id }, { is_read: true }, { type: "info", title: "X", message: "x" }],
    [schema.notification_preferences, { user_id }, { email_enabled: false }, {}],
    [schema.usage_metrics, { user_id }, { images_limit: 9999 }, { metric_date: new Date() }],
  ] as [any, Record<string, any>, object, object][];
}

type Act = (tx: Transaction) => Promise<any>;

/** How many rows it met, or why it met none. */
async function outcome(user: string | null, act: Act, lasting = true, role: Role = "authenticated") {
  let rows: number | undefined;
  try {
    await as(
      user,
      async (tx) => {
        const result = await act(tx);
        rows = result.count ?? result.length;
        if (!lasting) tx.rollback();
      },
      role,
    );
  } catch (error: any) {
    if (error instanceof TransactionRollbackError) return rows;
    const { code, message } = error.cause ?? error;
    return OUTCOMES[code] ?? `${code} ${message}`;
  }
  return rows;
}

async function everyOperation(who: string, user: string | null, whose: string, owner: Owner, role?: Role) {
  const lasting = whose !== "mine";
  for (const [table, belongs, change, rest] of belongings(owner)) {
    const those = and(...Object.entries(belongs).map(([column, value]) => eq(table[column], value)));
    const operations: Record<string, Act> = {
      read: (tx) => tx.select().from(table).where(those),
      change: (tx) => tx.update(table).set(change).where(those),
      insert: (tx) => tx.insert(table).values({ ...belongs, ...rest }),
      delete: (tx) => tx.delete(table).where(those),
      truncate: (tx) => tx.execute(sql`TRUNCATE ${table} CASCADE`),
    };
    for (const [did, act] of Object.entries(operations))
      report({ who, whose, table: getTableName(table), did, outcome: await outcome(user, act, lasting, role) });
  }
}

/** Makes what is mine theirs, and what is theirs mine. */
async function moves() {
  const ours = new Map(belongings(mine).map((belonging) => [belonging[0], belonging[1]]));
  for (const [table, belongs] of belongings(theirs)) {
    const own = ours.get(table)!;
    for (const [column, value] of Object.entries(belongs)) {
      const about = { who: "user", table: getTableName(table), column };
      const give: Act = (tx) => tx.update(table).set({ [column]: value }).where(eq(table[column], own[column]));
      report({ ...about, did: "give away", outcome: await outcome(mine.user, give) });
      const take: Act = (tx) => tx.update(table).set({ [column]: own[column] }).where(eq(table[column], value));
      report({ ...about, did: "take", outcome: await outcome(mine.user, take) });
    }
  }
}

async function roles() {
  const { profiles } = schema;
  const about = { who: "user", table: "profiles", column: "role" };
  const promote: Act = (tx) => tx.update(profiles).set({ role: "admin" }).where(eq(profiles.id, mine.user));
  report({ ...about, did: "become admin", outcome: await outcome(mine.user, promote) });
  const values = { id: newcomer, email: "newcomer@front-end.example", role: "admin" as const };
  const begin: Act = (tx) => tx.insert(profiles).values(values);
  report({ ...about, did: "begin as admin", outcome: await outcome(newcomer, begin) });
}

/** The schemas that are no business of users. */
async function hidden() {
  const tables = sql`SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
    WHERE schemaname IN ('crawler', 'auth') ORDER BY 1`;
  for (const { name } of await as(mine.user, (tx) => tx.execute<{ name: string }>(tables)))
    for (const [did, statement] of Object.entries({
      read: `SELECT FROM ${name}`,
      insert: `INSERT INTO ${name} DEFAULT VALUES`,
      delete: `DELETE FROM ${name}`,
      truncate: `TRUNCATE ${name} CASCADE`,
    }))
      report({
        who: "user",
        whose: "hidden",
        table: name,
        did,
        outcome: await outcome(mine.user, (tx) => tx.execute(sql.raw(statement))),
      });
}

await everyOperation("user", mine.user, "mine", mine);
await everyOperation("user", mine.user, "theirs", theirs);
await everyOperation("nobody", null, "theirs", theirs);
await everyOperation("anon", null, "theirs", theirs, "anon");
await moves();
await roles();
await hidden();
await leave();
