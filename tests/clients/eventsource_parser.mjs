// Reads server-sent events with eventsource-parser and fetch: `node eventsource_parser.mjs < jobs`. A job is
// {"url": "…", "body": {…}}. Its result holds the status, the events, and the error that ended the reading.
import { EventSourceParserStream } from "eventsource-parser/stream";
import { runJobs } from "./jobs.mjs";

await runJobs(async ({ url, body }) => {
  const seen = { status: null, events: [], error: null };
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    seen.status = response.status;
    const events = response.body
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream({ onError: "terminate" }));
    for await (const event of events) seen.events.push({ event: event.event ?? "message", data: event.data });
  } catch (error) {
    seen.error = error.message;
  }
  return seen;
});
