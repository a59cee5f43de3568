// One start of Node for many questions: a list of jobs comes in as JSON, what became of each goes out as JSON.
import { json } from "node:stream/consumers";

// `run(job)` returns what its client library made of the answer; it throws only for a fault of its own.
export async function runJobs(run) {
  const seen = [];
  for (const job of await json(process.stdin)) seen.push(await run(job));
  process.stdout.write(JSON.stringify(seen));
}
