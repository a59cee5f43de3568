// Runs many jobs in one Node process: reads a list of jobs as JSON and writes their results as JSON.
import { json } from "node:stream/consumers";

// `run(job)` returns what its client library read from the answer; it throws only for errors of its own.
export async function runJobs(run) {
  const seen = [];
  for (const job of await json(process.stdin)) seen.push(await run(job));
  process.stdout.write(JSON.stringify(seen));
}
