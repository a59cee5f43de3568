/**
 * Reads a streamed answer of Delta Relay, in a browser or wherever there is `fetch`. It needs no other file.
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
     * the relay's default model if there is none
     */
    model?: string;
    /**
     * whatever else the request holds (`temperature`, `tools`, …)
     */
    body?: Readonly<Record<string, unknown>>;
    /**
     * POST unless it says GET, which has no body
     */
    method?: "GET" | "POST";
    /**
     * such as the caller's key; a function
     * is asked before each request, for a token that expires
     */
    headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
    /**
     * ends the answer, and closes its connection
     */
    signal?: AbortSignal;
    /**
     * called with each delta and with the text so far
     */
    onDelta?: (delta: string, text: string) => void;
    /**
     * in place of the global one
     */
    fetch?: typeof globalThis.fetch;
};
export type StreamEvent = {
    /**
     * "message" where the stream names none
     */
    type: string;
    /**
     * its data lines, joined by line feeds
     */
    data: string;
    /**
     * the last event ID, "" until the stream has set one
     */
    id: string;
};
export type Said = {
    delta?: unknown;
    /**
     * the message of a response that begins, by its place or id
     */
    opens?: unknown;
    /**
     * the message of a response to which the delta belongs
     */
    of?: unknown;
    /**
     * the message in one piece, or a piece of it, which counts where no delta has come
     */
    whole?: string;
    usage?: any;
    finishReason?: any;
    /**
     * whether it holds a piece of the answer: text, or a tool's arguments
     */
    goesOn?: boolean;
    /**
     * whether the answer says that it has ended; one that goes on takes that back
     */
    isFinished?: boolean;
    /**
     * whether the answer has come to its own end
     */
    isWhole?: boolean;
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
/** Why an answer is missing or not whole. What had come of it is in `text`. */
export declare class StreamError extends Error {
    /** The relay's or the upstream's code; or `unreachable`, `interrupted`, `not_a_stream`: seen from here. */
    code: string;
    /** The HTTP status: 200 if the answer had begun, null if there was none. */
    status: number | null;
    type: string | null;
    /** The field of the request that is to blame, if one is. */
    param: string | null;
    /** The part of the answer that had come. */
    text: string;
    /** The relay's id of the request, by which its log and transcript are found. */
    requestId: string | null;
    /** After how many seconds to try again, if the relay said so. */
    retryAfterS: number | null;
    /**
     * @param {string} message
     * @param {ErrorDetails} details
     */
    constructor(message: string, details: ErrorDetails);
}
/**
 * Ask for an answer and read it while it is being written. The request is made at once, whether or not the
 * answer is iterated.
 *
 * @param {string | URL} url `…/chatCompletion`, `…/v1/chat/completions`, `…/v1/responses` or `…/api/chat`
 * @param {StreamOptions} [options]
 * @returns {TextStream}
 */
export declare function streamText(url: string | URL, options?: StreamOptions): TextStream;
/**
 * An answer that is being written: an async iterable of its deltas. Iterating throws a StreamError if the answer
 * is missing or not whole, and the signal's reason if it was aborted. Leaving the loop early closes the connection.
 */
export declare class TextStream {
    #private;
    /** @type {Promise<this>} the whole answer: this very object, or what iterating would throw */
    finished: Promise<this>;
    /** The text so far; in the end the whole. */
    text: string;
    /** @type {any} tokens used, as the route reports them; null where it does not */
    usage: any;
    /** @type {string | null} `stop`, `length`, …; null for plain text, which does not say */
    finishReason: string | null;
    /** @type {string | null} the relay's id of the request */
    requestId: string | null;
    /** @type {number | null} the HTTP status */
    status: number | null;
    /** Whether it has ended because it was stopped from here. */
    isAborted: boolean;
    /**
     * @param {string | URL} url
     * @param {StreamOptions} options
     */
    constructor(url: string | URL, options: StreamOptions);
    /** Stop: the connection is closed, and the relay stops the model as soon as it notices.
     * @param {unknown} [reason] an AbortError if there is none */
    abort(reason?: unknown): void;
    /**
     * No generator: its `return` would wait for the next delta, which may never come.
     * @returns {AsyncIterableIterator<string>}
     */
    [Symbol.asyncIterator](): AsyncIterableIterator<string>;
}
/**
 * Splits an event stream into its events, whatever the sizes of the pieces it comes in, to the letter of
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.
 */
export declare class EventStreamParser {
    #private;
    /** "The last event ID string": set by the last blank line. */
    lastEventId: string;
    /** @type {number | null} in milliseconds, null until the stream has set it */
    reconnectionTimeMs: number | null;
    /**
     * @param {Uint8Array} bytes the next ones of the stream
     * @returns {StreamEvent[]} the events that they complete
     */
    feed(bytes: Uint8Array): StreamEvent[];
    /**
     * The end of a whole body, whose last event may lack its blank line: outside the standard, which drops it.
     * @returns {StreamEvent[]} that event, if there is one
     */
    end(): StreamEvent[];
}
