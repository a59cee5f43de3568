/**
 * Reads a streamed answer of Delta Relay in a browser, or in any runtime that has `fetch`. It needs no other file.
 *
 *     const answer = streamText(`${FUNCTION_URL}/chatCompletion`, {
 *       messages: [{ role: "user", content: "Why is the sky blue?" }],
 *     });
 *     for await (const delta of answer) output.append(delta);
 *     console.log(answer.text, answer.usage);
 */
export type StreamOptions = {
    /**
     * the conversation, as OpenAI's `messages` or, for `/api/chat`, UI messages
     */
    messages?: readonly object[];
    /**
     * by default the relay's default model
     */
    model?: string;
    /**
     * the other fields of the request (`temperature`, `tools`, …)
     */
    body?: Readonly<Record<string, unknown>>;
    /**
     * POST by default; a GET request has no body
     */
    method?: "GET" | "POST";
    /**
     * for example the caller's key; a function
     * is called before each request, for tokens that expire
     */
    headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
    /**
     * aborts the answer and closes its connection
     */
    signal?: AbortSignal;
    /**
     * called with each delta and with the text so far
     */
    onDelta?: (delta: string, text: string) => void;
    /**
     * used instead of the global `fetch`
     */
    fetch?: typeof globalThis.fetch;
};
export type StreamEvent = {
    /**
     * the event's type; "message" by default
     */
    type: string;
    /**
     * the data lines, joined by line feeds
     */
    data: string;
    /**
     * the last event ID; "" until the stream has set one
     */
    id: string;
};
export type StreamUpdate = {
    delta?: unknown;
    /**
     * the output index or id of a message that begins, in a response
     */
    startedMessage?: unknown;
    /**
     * the output index or id of the message that the delta belongs to, in a response
     */
    message?: unknown;
    /**
     * the message's text so far, or a piece of it; ignored once a delta has arrived
     */
    fullText?: string;
    usage?: any;
    finishReason?: any;
    /**
     * whether it adds content to the answer: text, or a tool's arguments
     */
    hasContent?: boolean;
    /**
     * whether it says that the answer has ended; later content revokes that
     */
    isFinished?: boolean;
    /**
     * whether it is the answer's terminal signal
     */
    isComplete?: boolean;
    error?: any;
};
export type ErrorDetails = {
    code: string;
    status?: number | null;
    type?: string | null;
    param?: string | null;
    text?: string;
    requestId?: string | null;
    retryAfterS?: number | null;
    cause?: unknown;
};
/** Why an answer is missing or incomplete. The part that arrived is in `text`. */
export declare class StreamError extends Error {
    /** The relay's or the upstream's code; or one of this module's: `unreachable`, `interrupted`, `not_a_stream`. */
    code: string;
    /** The HTTP status: 200 if the answer had begun, null if there was no response. */
    status: number | null;
    type: string | null;
    /** The field of the request that caused the error, if one did. */
    param: string | null;
    /** The part of the answer that arrived. */
    text: string;
    /** The relay's id of the request; it identifies the log entries and the transcript. */
    requestId: string | null;
    /** The seconds to wait before a retry, if the relay stated them. */
    retryAfterS: number | null;
    /**
     * @param {string} message
     * @param {ErrorDetails} details
     */
    constructor(message: string, details: ErrorDetails);
}
/**
 * Request an answer and read it while it is being written. The request is sent immediately, whether or not the
 * answer is iterated.
 *
 * @param {string | URL} url `…/chatCompletion`, `…/v1/chat/completions`, `…/v1/responses` or `…/api/chat`
 * @param {StreamOptions} [options]
 * @returns {TextStream}
 */
export declare function streamText(url: string | URL, options?: StreamOptions): TextStream;
/**
 * An answer that is being written: an async iterable of its deltas. Iterating throws a StreamError if the answer
 * is missing or incomplete, and the signal's reason if it was aborted. Leaving the loop early closes the connection.
 */
export declare class TextStream {
    #private;
    /** @type {Promise<this>} resolves to this object at the answer's end; rejects with what iterating throws */
    finished: Promise<this>;
    /** The text received so far. */
    text: string;
    /** @type {any} the tokens used, in the route's own format; null if not reported */
    usage: any;
    /** @type {string | null} `stop`, `length`, …; null for plain text, which does not report it */
    finishReason: string | null;
    /** @type {string | null} the relay's id of the request */
    requestId: string | null;
    /** @type {number | null} the HTTP status */
    status: number | null;
    /** Whether `abort` or the signal ended the answer. */
    isAborted: boolean;
    /**
     * @param {string | URL} url
     * @param {StreamOptions} options
     */
    constructor(url: string | URL, options: StreamOptions);
    /** Close the connection. The relay stops the model as soon as it notices.
     * @param {unknown} [reason] by default an AbortError */
    abort(reason?: unknown): void;
    /**
     * Not a generator, whose `return` would wait for the next delta, which may never arrive.
     * @returns {AsyncIterableIterator<string>}
     */
    [Symbol.asyncIterator](): AsyncIterableIterator<string>;
}
/**
 * Parses an event stream that arrives in chunks of any size, exactly as the standard requires:
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.
 */
export declare class EventStreamParser {
    #private;
    /** "The last event ID string": set by the last blank line. */
    lastEventId: string;
    /** @type {number | null} in milliseconds; null until the stream has set it */
    reconnectionTimeMs: number | null;
    /**
     * @param {Uint8Array} bytes the next bytes of the stream
     * @returns {StreamEvent[]} the events that they complete
     */
    feed(bytes: Uint8Array): StreamEvent[];
    /**
     * Call this at the end of a complete body. It returns a last event that lacks its blank line; the standard drops it.
     * @returns {StreamEvent[]} that event, if there is one
     */
    end(): StreamEvent[];
}
