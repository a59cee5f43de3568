// Reads answers by the relay's own stream.js, as the relay serves it: `node stream_module.mjs URL < jobs`, URL being
// where the module is. A job is {"feed": [base64, …]}, of which the events are seen and after which feed each came; or
// {"url": "…", "options": {…}}, of which everything is seen that the module tells of an answer. "stop" of such a job
// says after how many deltas to stop, and "by" how: by a signal, by leaving the loop, by the answer's own method, by
// that within onDelta, by `return` of an iterator that waits, or by a signal that was "given before". "pending" gives it headers that never come.
import { runJobs } from "./jobs.mjs";

const source = await (await fetch(process.argv[2])).text();
const { EventStreamParser, streamText } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

function parse(pieces) {
  const parser = new EventStreamParser();
  const events = pieces.flatMap((piece, number) =>
    parser.feed(Buffer.from(piece, "base64")).map((event) => ({ ...event, number })),
  );
  return { events, lastEventId: parser.lastEventId, reconnectionTimeMs: parser.reconnectionTimeMs };
}

async function read({ url, options = {}, stop = Infinity, by, pending }) {
  const controller = new AbortController();
  const called = [];
  const onDelta = (delta, text) => {
    called.push([delta, text]);
    if (by === "onDelta" && called.length === stop) answer.abort();
  };
  const answer = streamText(url, {
    ...options,
    onDelta,
    ...(by === "signal" && { signal: controller.signal }),
    ...(by === "given before" && { signal: AbortSignal.abort(new Error("changed my mind")) }),
    ...(pending && { headers: () => new Promise(() => {}) }),
  });
  if (stop === 0) by === "signal" ? controller.abort() : answer.abort();
  const deltas = [];
  let error = null;
  try {
    for await (const delta of answer) {
      deltas.push(delta);
      if (deltas.length < stop || by === "onDelta") continue;
      if (by === "return") {
        const iterator = answer[Symbol.asyncIterator]();
        for (const _ of deltas) await iterator.next();
        const waiting = iterator.next();
        await iterator.return();
        await waiting;
        break;
      }
      if (by === "break") break;
      by === "signal" ? controller.abort() : answer.abort();
    }
  } catch (thrown) {
    const { name, message, code, status, type, param, text, requestId, retryAfterS } = thrown;
    error = { name, message, code, status, type, param, text, requestId, retryAfterS };
  }
  const whole = await answer.finished.then(
    (same) => same === answer,
    () => false,
  );
  const { text, usage, finishReason, requestId, status, isAborted } = answer;
  return { deltas, called, error, whole, text, usage, finishReason, requestId, status, isAborted };
}

await runJobs((job) => (job.feed ? parse(job.feed) : read(job)));
