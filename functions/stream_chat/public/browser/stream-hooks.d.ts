/**
 * React hooks for streamed answers of Delta Relay (React 18 and newer).
 *
 *     const [{ value, isStreaming, error }, trigger, abort] = useStreamingQuery(`${FUNCTION_URL}/chatCompletion`);
 *     <button onClick={() => trigger({ message: "Why is the sky blue?" })}>Ask</button>
 *     <p>{value}</p>
 */
import type { StreamError, StreamOptions } from "./stream.js";
export type StreamState = {
    /**
     * the text so far, not the last delta; it stays after the answer has ended, however it ended
     */
    value: string;
    isStreaming: boolean;
    /**
     * why the answer is missing or incomplete; null if it was aborted
     */
    error: StreamError | Error | null;
    /**
     * why it ended: `stop`, or `length` or `content_filter` if it was cut off
     */
    finishReason: string | null;
};
export type StreamingHook<Argument> = [StreamState, (argument?: Argument) => Promise<StreamState>, () => void];
export type HookOptions = Omit<StreamOptions, "messages" | "body" | "method" | "onDelta">;
/**
 * Sends GET requests. The argument of `trigger` becomes the query; a plain string becomes its `message`.
 *
 * @param {string} path `/chatCompletion`, or a whole URL
 * @param {HookOptions} [options]
 * @returns {StreamingHook<string | Record<string, string | number | boolean | null | undefined>>}
 */
export declare function useStreamingQuery(path: string, options?: HookOptions): StreamingHook<string | Record<string, string | number | boolean | null | undefined>>;
/**
 * Sends POST requests. The argument of `trigger` is the request's body; a plain string is the user's only message.
 *
 * @param {string} path `/chatCompletion`, or a whole URL
 * @param {HookOptions} [options]
 * @returns {StreamingHook<string | Record<string, unknown>>}
 */
export declare function useStreamingMutation(path: string, options?: HookOptions): StreamingHook<string | Record<string, unknown>>;
