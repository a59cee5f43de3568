/**
 * React hooks for streamed answers of Delta Relay (React 18 and newer).
 *
 *     const [{ value, isStreaming, error }, trigger, abort] = useStreamingQuery(`${FUNCTION_URL}/chatCompletion`);
 *     <button onClick={() => trigger({ message: "Why is the sky blue?" })}>Ask</button>
 *     <p>{value}</p>
 */

import { useCallback, useEffect, useInsertionEffect, useRef, useState } from "react";

import { streamText } from "./stream.js";

/** @import { StreamError, StreamOptions, TextStream } from "./stream.js" */

/**
 * @typedef {object} StreamState
 * @property {string} value the text so far, not the last delta; it stays when the answer ends in whatever way
 * @property {boolean} isStreaming
 * @property {StreamError | Error | null} error why the answer is missing or not whole; to abort is no error
 * @property {string | null} finishReason why it has ended: `stop`, or `length` or `content_filter` for one that was cut
 */

/**
 * @template Argument
 * @typedef {[StreamState, (argument?: Argument) => Promise<StreamState>, () => void]} StreamingHook the state; a
 *   function that asks, in place of what was asked before, and resolves to the state in the end (it never rejects);
 *   and one that stops. Both functions stay the same from render to render.
 */

/** @typedef {Omit<StreamOptions, "messages" | "body" | "method" | "onDelta">} HookOptions */

/** @type {StreamState} */
const NOTHING_ASKED = { value: "", isStreaming: false, error: null, finishReason: null };

/**
 * Ask by GET: the argument of `trigger` becomes the query, a plain string its `message`.
 *
 * @param {string} path `/chatCompletion`, or a whole URL
 * @param {HookOptions} [options]
 * @returns {StreamingHook<string | Record<string, string | number | boolean | null | undefined>>}
 */
export function useStreamingQuery(path, options) {
  return useTextStream((query = {}, onDelta) => {
    const given = Object.entries(typeof query === "string" ? { message: query } : query);
    const named = given.flatMap(([name, value]) => (value == null ? [] : [[name, String(value)]]));
    const url = `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams(named)}`;
    return streamText(url, { ...options, method: "GET", onDelta });
  });
}

/**
 * Ask by POST: the argument of `trigger` is the request's body, a plain string the user's only message.
 *
 * @param {string} path `/chatCompletion`, or a whole URL
 * @param {HookOptions} [options]
 * @returns {StreamingHook<string | Record<string, unknown>>}
 */
export function useStreamingMutation(path, options) {
  return useTextStream((request = {}, onDelta) => {
    const body = typeof request === "string" ? { messages: [{ role: "user", content: request }] } : request;
    return streamText(path, { ...options, body, onDelta });
  });
}

/**
 * @template Argument
 * @param {(argument: Argument | undefined, onDelta: () => void) => TextStream} start
 * @returns {StreamingHook<Argument>}
 */
function useTextStream(start) {
  const [state, setState] = useState(NOTHING_ASKED);
  /** @type {React.RefObject<TextStream | null>} the one whose text is shown */
  const current = useRef(null);
  /** @type {React.RefObject<typeof start | null>} null once the component is gone */
  const latestStart = useRef(start);
  // Before any effect that might call `trigger`.
  useInsertionEffect(() => {
    latestStart.current = start;
  });
  useInsertionEffect(() => () => void (latestStart.current = null), []);

  const abort = useCallback(() => current.current?.abort(), []);

  // A component that is gone wants no more of the answer. StrictMode mounts twice: what an effect had asked for
  // in between is aborted before its request is made.
  useEffect(
    () => () => {
      current.current?.abort();
      current.current = null;
    },
    [],
  );

  const trigger = useCallback(async (/** @type {Argument | undefined} */ argument) => {
    current.current?.abort();
    if (!latestStart.current) return NOTHING_ASKED;
    let frame = 0;
    // Deltas may come faster than a screen can show them: the text is set once for each frame.
    const stream = latestStart.current(argument, () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        show({ value: stream.text, isStreaming: true, error: null, finishReason: null });
      });
    });
    current.current = stream;
    const show = (/** @type {StreamState} */ shown) => {
      if (current.current === stream) setState(shown);
    };
    show({ ...NOTHING_ASKED, isStreaming: true });
    const reason = await stream.finished.then(() => null, (/** @type {Error} */ thrown) => thrown);
    cancelAnimationFrame(frame); // none comes in a tab that is not seen
    const error = reason?.name === "AbortError" ? null : reason;
    const ended = { value: stream.text, isStreaming: false, error, finishReason: stream.finishReason };
    show(ended);
    return ended;
  }, []);

  return [state, trigger, abort];
}
