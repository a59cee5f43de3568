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
 * @property {string} value the text so far, not the last delta; it stays after the answer has ended, however it ended
 * @property {boolean} isStreaming
 * @property {StreamError | Error | null} error why the answer is missing or incomplete; null if it was aborted
 * @property {string | null} finishReason why it ended: `stop`, or `length` or `content_filter` if it was cut off
 */

/**
 * @template Argument
 * @typedef {[StreamState, (argument?: Argument) => Promise<StreamState>, () => void]} StreamingHook the state;
 *   `trigger`, which sends a request, aborts the previous one and resolves to the final state (it never rejects);
 *   and `abort`. Both functions stay the same from render to render.
 */

/** @typedef {Omit<StreamOptions, "messages" | "body" | "method" | "onDelta">} HookOptions */

/** @type {StreamState} */
const IDLE = { value: "", isStreaming: false, error: null, finishReason: null };

/**
 * Sends GET requests. The argument of `trigger` becomes the query; a plain string becomes its `message`.
 *
 * @param {string} path `/chatCompletion`, or a whole URL
 * @param {HookOptions} [options]
 * @returns {StreamingHook<string | Record<string, string | number | boolean | null | undefined>>}
 */
export function useStreamingQuery(path, options) {
  return useTextStream((query = {}, onDelta) => {
    const fields = Object.entries(typeof query === "string" ? { message: query } : query);
    const parameters = fields.flatMap(([name, value]) => (value == null ? [] : [[name, String(value)]]));
    const url = `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams(parameters)}`;
    return streamText(url, { ...options, method: "GET", onDelta });
  });
}

/**
 * Sends POST requests. The argument of `trigger` is the request's body; a plain string is the user's only message.
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
  const [state, setState] = useState(IDLE);
  /** @type {React.RefObject<TextStream | null>} the stream whose text is shown */
  const current = useRef(null);
  /** @type {React.RefObject<typeof start | null>} null once the component is unmounted */
  const latestStart = useRef(start);
  // An insertion effect runs before every effect that might call `trigger`.
  useInsertionEffect(() => {
    latestStart.current = start;
  });
  useInsertionEffect(() => () => void (latestStart.current = null), []);

  const abort = useCallback(() => current.current?.abort(), []);

  // Unmounting aborts the answer. StrictMode mounts twice: an answer that an effect requested in between is aborted
  // before its request is sent.
  useEffect(
    () => () => {
      current.current?.abort();
      current.current = null;
    },
    [],
  );

  const trigger = useCallback(async (/** @type {Argument | undefined} */ argument) => {
    current.current?.abort();
    if (!latestStart.current) return IDLE;
    let frame = 0;
    // Deltas may arrive faster than the screen refreshes: the text is set once per frame.
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
    show({ ...IDLE, isStreaming: true });
    const reason = await stream.finished.then(() => null, (/** @type {Error} */ thrown) => thrown);
    cancelAnimationFrame(frame); // a hidden tab gets no frames
    const error = reason?.name === "AbortError" ? null : reason;
    const ended = { value: stream.text, isStreaming: false, error, finishReason: stream.finishReason };
    show(ended);
    return ended;
  }, []);

  return [state, trigger, abort];
}
