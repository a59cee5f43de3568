// Reads answers with the relay's own stream.js, as the relay serves it: `node stream_module.mjs URL < jobs`, where URL is
// the module's. A job is {"feed": [base64, …]}, whose result holds the events and the feed that completed each; or
// {"url": "…", "options": {…}}, whose result holds everything that the module reports about an answer. Its "stop" is the
// number of deltas after which to stop, and its "by" is how: by a signal, by leaving the loop, by the answer's own
// method, by that method within onDelta, by `return` of a waiting iterator, or by a signal "given before" the request.
// "pending" passes headers that never resolve.
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
