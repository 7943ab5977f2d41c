/**
 * Transactions as the front end's server begins them: through Drizzle, for a signed-in user or for nobody.
 *
 * The database is named by PGHOST, PGUSER, PGDATABASE …; what a program is to do, by FRONT_END_….
 */
import { sql } from "drizzle-orm";
import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import postgres from "postgres";

export type Transaction = Parameters<Parameters<PostgresJsDatabase["transaction"]>[0]>[0];
export type Role = "anon" | "authenticated";

const client = postgres({ max: 1, prepare: false }); // as Supabase's transaction pooler wants it
const database = drizzle(client);

export async function as<T>(user: string | null, act: (tx: Transaction) => Promise<T>, role: Role = "authenticated") {
  return database.transaction(async (tx) => {
    const claims = JSON.stringify({ role, ...(user && { sub: user }) });
    await tx.execute(sql`SELECT set_config('request.jwt.claims', ${claims}, true)`);
    await tx.execute(sql.raw(`SET LOCAL ROLE ${role}`));
    return act(tx);
  });
}

/** What the test has asked for under this name. */
export function given<T>(name: string): T {
  return JSON.parse(process.env[`FRONT_END_${name}`] ?? "null");
}

/** Tells the test: one JSON object per line. */
export function report(line: object): void {
  console.log(JSON.stringify(line));
}

export async function leave(): Promise<void> {
  await client.end();
}
