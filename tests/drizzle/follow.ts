/** A user makes a project, asks for a job, watches it, and looks at what has come of it. */
import { asc, eq } from "drizzle-orm";
import { setTimeout as sleep } from "node:timers/promises";
import { crawl_jobs, credit_accounts, images, notifications, projects } from "./schema.ts";
import { as, given, leave, report, type Transaction } from "./session.ts";

const POLL_MS = 50;
const ENDS = ["completed", "failed", "cancelled"];

const me = given<string>("USER");
const asMe = <T>(act: (tx: Transaction) => Promise<T>) => as(me, act);

async function ask(): Promise<number> {
  return asMe(async (tx) => {
    const [project] = await tx.insert(projects).values({ name: "Pets", user_id: me }).returning();
    const wanted = { project_id: project.id, name: "Red pandas", ...given<{ keywords: string[] }>("JOB") };
    const [job] = await tx.insert(crawl_jobs).values(wanted).returning();
    report({ saw: "job", row: job });
    return job.id;
  });
}

/** Reports the job whenever it has changed, until it has ended. */
async function watch(job: number): Promise<void> {
  for (let last = "", ended = false; !ended; await sleep(POLL_MS)) {
    const [row] = await asMe((tx) => tx.select().from(crawl_jobs).where(eq(crawl_jobs.id, job)));
    ended = ENDS.includes(row.status);
    if (JSON.stringify(row) !== last) report({ saw: "job", row });
    last = JSON.stringify(row);
  }
}

async function look(job: number): Promise<void> {
  const ours = eq(images.crawl_job_id, job);
  for (const row of await asMe((tx) => tx.select().from(images).where(ours).orderBy(asc(images.id))))
    report({ saw: "image", row });
  for (const row of await asMe((tx) => tx.select().from(notifications).orderBy(asc(notifications.id))))
    report({ saw: "notification", row });
  for (const row of await asMe((tx) => tx.select().from(credit_accounts))) report({ saw: "account", row });
}

const job = await ask();
await watch(job);
await look(job);
await leave();
