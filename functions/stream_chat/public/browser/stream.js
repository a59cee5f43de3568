/**
 * Reads a streamed answer of Delta Relay in a browser, or in any runtime that has `fetch`. It needs no other file.
 *
 *     const answer = streamText(`${FUNCTION_URL}/chatCompletion`, {
 *       messages: [{ role: "user", content: "Why is the sky blue?" }],
 *     });
 *     for await (const delta of answer) output.append(delta);
 *     console.log(answer.text, answer.usage);
 */

/**
 * @typedef {object} StreamOptions
 * @property {readonly object[]} [messages] the conversation, as OpenAI's `messages` or, for `/api/chat`, UI messages
 * @property {string} [model] by default the relay's default model
 * @property {Readonly<Record<string, unknown>>} [body] the other fields of the request (`temperature`, `tools`, …)
 * @property {"GET" | "POST"} [method] POST by default; a GET request has no body
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers] for example the caller's key; a function
 *   is called before each request, for tokens that expire
 * @property {AbortSignal} [signal] aborts the answer and closes its connection
 * @property {(delta: string, text: string) => void} [onDelta] called with each delta and with the text so far
 * @property {typeof globalThis.fetch} [fetch] used instead of the global `fetch`
 */

/**
 * One event of an event stream.
 * @typedef {object} StreamEvent
 * @property {string} type the event's type; "message" by default
 * @property {string} data the data lines, joined by line feeds
 * @property {string} id the last event ID; "" until the stream has set one
 */

/**
 * What one event adds to the answer's first choice.
 * @typedef {object} StreamUpdate
 * @property {unknown} [delta]
 * @property {unknown} [startedMessage] the output index or id of a message that begins, in a response
 * @property {unknown} [message] the output index or id of the message that the delta belongs to, in a response
 * @property {string} [fullText] the message's text so far, or a piece of it; ignored once a delta has arrived
 * @property {any} [usage]
 * @property {any} [finishReason]
 * @property {boolean} [hasContent] whether it adds content to the answer: text, or a tool's arguments
 * @property {boolean} [isFinished] whether it says that the answer has ended; later content revokes that
 * @property {boolean} [isComplete] whether it is the answer's terminal signal
 * @property {any} [error]
 */

/**
 * @typedef {{ code: string, status?: number | null, type?: string | null, param?: string | null, text?: string,
 *   requestId?: string | null, retryAfterS?: number | null, cause?: unknown }} ErrorDetails
 */

const DONE = "[DONE]"; // the relay passes it on and never invents it
// The fields of a delta that hold content other than text.
const CONTENT_FIELDS = [
  "tool_calls",
  "function_call",
  "reasoning_content",
  "reasoning",
  "reasoning_text",
  "thinking",
  "thinking_blocks",
  "reasoning_details",
];
// Separates the messages of a response, such as commentary and the final answer, as in the relay's transcripts.
const MESSAGE_SEPARATOR = "\n\n";
const LINE_END = /\r\n?|\n/g;

/** Why an answer is missing or incomplete. The part that arrived is in `text`. */
export class StreamError extends Error {
  /**
   * @param {string} message
   * @param {ErrorDetails} details
   */
  constructor(message, details) {
    const { code, status = null, type = null, param = null, text = "", requestId = null, retryAfterS = null } = details;
    super(message, { cause: details.cause });
    this.name = "StreamError";
    /** The relay's or the upstream's code; or one of this module's: `unreachable`, `interrupted`, `not_a_stream`. */
    this.code = code;
    /** The HTTP status: 200 if the answer had begun, null if there was no response. */
    this.status = status;
    this.type = type;
    /** The field of the request that caused the error, if one did. */
    this.param = param;
    /** The part of the answer that arrived. */
    this.text = text;
    /** The relay's id of the request; it identifies the log entries and the transcript. */
    this.requestId = requestId;
    /** The seconds to wait before a retry, if the relay stated them. */
    this.retryAfterS = retryAfterS;
  }
}

/**
 * Request an answer and read it while it is being written. The request is sent immediately, whether or not the
 * answer is iterated.
 *
 * @param {string | URL} url `…/chatCompletion`, `…/v1/chat/completions`, `…/v1/responses` or `…/api/chat`
 * @param {StreamOptions} [options]
 * @returns {TextStream}
 */
export function streamText(url, options = {}) {
  return new TextStream(url, options);
}

/**
 * An answer that is being written: an async iterable of its deltas. Iterating throws a StreamError if the answer
 * is missing or incomplete, and the signal's reason if it was aborted. Leaving the loop early closes the connection.
 */
export class TextStream {
  /** The text received so far. */
  text = "";
  /** @type {any} the tokens used, in the route's own format; null if not reported */
  usage = null;
  /** @type {string | null} `stop`, `length`, …; null for plain text, which does not report it */
  finishReason = null;
  /** @type {string | null} the relay's id of the request */
  requestId = null;
  /** @type {number | null} the HTTP status */
  status = null;
  /** Whether `abort` or the signal ended the answer. */
  isAborted = false;

  #abort = new AbortController();
  /** @type {(delta: string, text: string) => void} */ #onDelta;
  /** @type {string[]} */ #deltas = [];
  #heldBack = ""; // the first half of a surrogate pair
  #isOver = false;
  /** @type {(() => void)[]} */ #waiting = [];
  /** Messages of a response that have begun and have no text yet. @type {Set<unknown>} */ #emptyMessages = new Set();
  #isOneChoice = true; // then all entries count: some gateways number content blocks or tokens in `index`
  #hasDeltas = false;
  #isFinished = false;
  #hasContinued = false; // content followed a finish reason: later finish reasons do not end the answer
  #isComplete = false;

  /**
   * @param {string | URL} url
   * @param {StreamOptions} options
   */
  constructor(url, options) {
    this.#onDelta = options.onDelta ?? (() => {});
    /** @type {Promise<this>} resolves to this object at the answer's end; rejects with what iterating throws */
    this.finished = this.#run(url, options);
    this.finished.catch(() => {}); // iterating throws it too: no unhandled rejection
  }

  /** Close the connection. The relay stops the model as soon as it notices.
   * @param {unknown} [reason] by default an AbortError */
  abort(reason) {
    this.#abort.abort(reason);
  }

  /**
   * Not a generator, whose `return` would wait for the next delta, which may never arrive.
   * @returns {AsyncIterableIterator<string>}
   */
  [Symbol.asyncIterator]() {
    let count = 0;
    let isDone = false;
    /** @type {AsyncIterableIterator<string>} */
    const iterator = {
      next: async () => {
        while (!isDone) {
          if (count < this.#deltas.length) return { done: false, value: this.#deltas[count++] };
          isDone = this.#isOver;
          await (isDone ? this.finished : new Promise((resolve) => this.#waiting.push(() => resolve(null))));
        }
        return { done: true, value: undefined };
      },
      return: async () => {
        isDone = true;
        if (!this.#isOver) this.abort();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /**
   * @param {string | URL} url
   * @param {StreamOptions} options
   * @returns {Promise<this>}
   */
  async #run(url, options) {
    const abort = () => this.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", abort);
    if (options.signal?.aborted) abort();
    try {
      const response = await this.#open(url, options);
      await this.#read(response);
      return this;
    } catch (error) {
      const { signal } = this.#abort;
      if (signal.aborted) {
        this.isAborted = true;
        throw signal.reason;
      }
      this.abort(); // closes the connection
      throw error;
    } finally {
      options.signal?.removeEventListener("abort", abort);
      this.#isOver = true;
      this.#wake();
    }
  }

  /**
   * @param {string | URL} url
   * @param {StreamOptions} options
   */
  async #open(url, { messages, model, body, method = "POST", headers, fetch = globalThis.fetch }) {
    this.#isOneChoice = !(Number(body?.n) > 1);
    const { signal } = this.#abort;
    const stopped = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const callerHeaders = await Promise.race([typeof headers === "function" ? headers() : headers, stopped]);
    signal.throwIfAborted(); // aborted in the meantime: send no request
    const sent = new Headers(callerHeaders);
    if (!sent.has("accept")) sent.set("accept", "text/event-stream");
    const request = { method, headers: sent, signal };
    if (method !== "GET") {
      sent.set("content-type", "application/json");
      /** @type {Record<string, unknown>} */
      const document = { ...body, ...(messages && { messages }), ...(model && { model }), stream: true };
      // Chat completions report usage only on request; responses always do.
      if (document.messages ?? document.message) document.stream_options ??= { include_usage: true };
      Object.assign(request, { body: JSON.stringify(document) });
    }
    const response = await fetch(url, request).catch((cause) => {
      throw this.#error(`The relay could not be reached (${cause.message}).`, { code: "unreachable", cause });
    });
    this.status = response.status;
    this.requestId = response.headers.get("x-relay-request-id");
    if (!response.ok) throw await this.#errorOf(response);
    return response;
  }

  /** @param {Response} response */
  async #errorOf(response) {
    const document = await response.json().catch(() => null);
    const error = document?.error ?? { message: document?.message ?? document?.Message }; // the format of AWS's own errors
    const retryAfterS = parseFloat(response.headers.get("retry-after") ?? "");
    return this.#reported(error, `http_${response.status}`, `The relay answered with status ${response.status}.`, {
      retryAfterS: Number.isFinite(retryAfterS) ? retryAfterS : null,
    });
  }

  /** @param {Response} response */
  async #read(response) {
    const type = (response.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
    if (!response.body || (type !== "text/event-stream" && type !== "text/plain")) {
      throw this.#error(`The answer is not a text stream (${response.status} ${type || "without a type"}).`, {
        code: "not_a_stream",
      });
    }
    const feed = type === "text/plain" ? this.#textReader() : this.#eventReader();
    const reader = response.body.getReader();
    let isCut = false;
    for (;;) {
      const { done, value } = await reader.read().catch((cause) => {
        // A connection that breaks after the terminal signal is a normal end.
        isCut = this.#isComplete || this.#isFinished;
        if (isCut) return { done: true, value: undefined };
        throw this.#interrupted(cause);
      });
      if (done) break;
      feed(value);
      this.#wake();
    }
    if (!isCut) feed();
    // Plain text has no terminal signal: its end is the end of the answer.
    if (type !== "text/plain" && !this.#isComplete && !this.#isFinished && !this.#hasContinued) throw this.#interrupted();
    if (!this.#heldBack) return;
    this.#heldBack = "";
    this.#add("\uFFFD");
  }

  /** @returns {(bytes?: Uint8Array) => void} */
  #textReader() {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return (bytes) => this.#add(decoder.decode(bytes, { stream: bytes !== undefined }));
  }

  /** @returns {(bytes?: Uint8Array) => void} */
  #eventReader() {
    const parser = new EventStreamParser();
    return (bytes) => {
      const events = bytes ? parser.feed(bytes) : parser.end();
      for (const update of events.flatMap((event) => updatesIn(event, this.#isOneChoice))) this.#apply(update);
    };
  }

  /** @param {StreamUpdate} update */
  #apply({ delta, fullText, startedMessage, message, usage, finishReason, hasContent, isFinished, isComplete, error }) {
    if (startedMessage !== undefined) this.#emptyMessages.add(startedMessage);
    if (delta && typeof delta === "string") {
      this.#hasDeltas = true;
      this.#add(this.#emptyMessages.delete(message) && this.text ? MESSAGE_SEPARATOR + delta : delta);
    }
    if (fullText && !this.#hasDeltas) {
      this.#add(fullText.startsWith(this.text) ? fullText.slice(this.text.length) : fullText);
    }
    if (usage) this.usage = usage;
    if (hasContent && this.finishReason) {
      // Some upstreams put a finish reason on every chunk.
      this.#hasContinued = true;
      this.#isFinished = false;
      this.finishReason = null;
    }
    if (finishReason) this.finishReason ??= finishReason;
    if (isFinished && !this.#hasContinued) this.#isFinished = true;
    if (isComplete) this.#isComplete = true;
    if (error) throw this.#reported(error, "upstream_error", "The upstream reported an error.");
  }

  /**
   * A surrogate pair may be split over two deltas: its first half is held back until the second arrives.
   * @param {string} delta
   */
  #add(delta) {
    if (!delta) return;
    this.#abort.signal.throwIfAborted(); // `onDelta` may have aborted in the middle of one read
    delta = this.#heldBack + delta;
    this.#heldBack = /[\uD800-\uDBFF]$/.test(delta) ? delta.slice(-1) : "";
    if (this.#heldBack) delta = delta.slice(0, -1);
    delta = delta.replace(/\p{Surrogate}/gu, "\uFFFD"); // the `u` flag makes it match lone surrogates only
    if (!delta) return;
    this.text += delta;
    this.#deltas.push(delta);
    this.#onDelta(delta, this.text);
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** @param {unknown} [cause] */
  #interrupted(cause) {
    return this.#error("The answer broke off before its end.", { code: "interrupted", cause });
  }

  /**
   * @param {any} error OpenAI's error object, or plain text
   * @param {string} code the default code
   * @param {string} message the default message
   * @param {Partial<ErrorDetails>} [details]
   */
  #reported(error, code, message, details) {
    if (typeof error !== "object") error = { message: error };
    return this.#error(textIn(error.message) ?? message, {
      code: textIn(error.code) ?? textIn(error.type) ?? code,
      type: textIn(error.type),
      param: textIn(error.param),
      ...details,
    });
  }

  /**
   * @param {string} message
   * @param {ErrorDetails} details
   */
  #error(message, details) {
    const { status, text, requestId } = this;
    return new StreamError(message, { status, text, requestId, ...details });
  }
}

/**
 * The value as text, or null: upstreams put all kinds of values where a text should be.
 * @param {unknown} value
 */
function textIn(value) {
  return (typeof value === "string" && value) || (typeof value === "number" ? String(value) : null);
}

/**
 * The reader of each event type, for the routes whose events have types: UI messages and responses.
 * @type {Record<string, (event: any) => StreamUpdate>}
 */
const READERS = {
  "text-delta": ({ delta }) => ({ delta }),
  finish: ({ finishReason, messageMetadata }) => ({ finishReason, usage: messageMetadata?.usage, isComplete: true }),
  error: ({ error, errorText, message, code }) => ({ error: error ?? errorText ?? { message, code } }),
  "response.output_item.added": ({ item, output_index }) =>
    item?.type === "message" ? { startedMessage: output_index ?? item.id } : {},
  "response.output_text.delta": ({ delta, output_index, item_id }) => ({ delta, message: output_index ?? item_id }),
  "response.refusal.delta": ({ delta, output_index, item_id }) => ({ delta, message: output_index ?? item_id }),
};

/** The endings of a response, from best to worst. If an event's name and status disagree, the worse one counts. */
const ENDINGS = ["completed", "incomplete", "failed", "cancelled"];
/** The values of `error` that mean success. */
const SUCCESS = /^\s*(0|false|none|null|no[ _]?error|ok(ay)?|normal|done|stop|succe(ed|eded|ss|ssful)|finished|completed?)[.!\s]*$/i;
/** Events that do not end a response, whatever status they report. */
const PROGRESS = ["response.created", "response.queued", "response.in_progress"];

/** @param {unknown} text */
function normalizedEnding(text) {
  return String(text).replace(/canceled$/, "cancelled");
}

/**
 * Read an event that ends a response; null for any other event. Some upstreams use other names than OpenAI, or put
 * the response's fields into the event itself.
 * @param {string} name
 * @param {any} event
 * @returns {StreamUpdate | null}
 */
function responseEnd(name, event) {
  const named = ENDINGS.findIndex((ending) => `response.${ending}` === normalizedEnding(name));
  const isLast = named >= 0 || name === "response.done" || name === "done";
  const response = event.response ?? (isLast || event.object === "response" ? event : null);
  if (!response || typeof response !== "object" || PROGRESS.includes(name)) return null;
  const { status, usage = event.usage } = response;
  const error = response.error ?? event.error;
  let ending = Math.max(ENDINGS.indexOf(normalizedEnding(status)), named);
  if (ending < 0 && !status && name === "response.done") ending = error ? 2 : 0;
  if (ending < 0) return null;
  if (ENDINGS[ending] === "cancelled") return { error: { message: "The upstream cancelled the response.", code: "cancelled" } };
  if (ENDINGS[ending] === "failed" || error) return { error: error ?? "The response failed." };
  const reason = response.incomplete_details?.reason ?? "incomplete";
  return { finishReason: ENDINGS[ending] === "completed" ? "stop" : reason, usage, isComplete: true };
}

/**
 * Read each JSON document in an event.
 * @param {StreamEvent} event
 * @param {boolean} isOneChoice
 * @returns {StreamUpdate[]}
 */
function updatesIn({ type, data }, isOneChoice) {
  // Some servers omit the blank line between two events: then each data line is a document.
  const documents = parsed([data]) ?? parsed(data.split("\n"));
  if (!documents) return type === "error" ? [{ error: data }] : [];
  return documents.flatMap((document) => documentUpdates(document, type, isOneChoice));
}

/** @param {string[]} texts */
function parsed(texts) {
  try {
    return texts.map((text) => (text === DONE ? DONE : JSON.parse(text)));
  } catch {
    return null;
  }
}

/**
 * Read one document. Unknown event types are ignored, because providers add their own.
 * @param {any} document
 * @param {string} type
 * @param {boolean} isOneChoice
 * @returns {StreamUpdate[]}
 */
function documentUpdates(document, type, isOneChoice) {
  if (document === DONE) return [{ isComplete: true }];
  if (document === null || typeof document !== "object") return [];
  const name = document.type ?? (/^(error|done|response\..*)$/.test(type) ? type : "");
  if (Object.hasOwn(READERS, name)) return [READERS[name](document)];
  const end = responseEnd(name, document);
  return end ? [end] : chunkUpdates(document, isOneChoice);
}

/**
 * Whether a chunk's `error` reports an error: some providers put the field on every chunk.
 * @param {any} error
 * @param {boolean} isAlone
 */
function isFailure(error, isAlone) {
  if (!error || typeof error !== "object") return Boolean(error) && !SUCCESS.test(error);
  const { message, msg, code } = error;
  const isSuccess = SUCCESS.test(message || msg || "?") && (SUCCESS.test(code ?? 0) || Number(code) < 400);
  return !isSuccess && (isAlone || Object.values(error).some(Boolean));
}

/**
 * Read a chunk of chat completions.
 * @param {any} chunk
 * @param {boolean} isOneChoice
 * @returns {StreamUpdate[]}
 */
function chunkUpdates({ choices, usage, x_groq, error }, isOneChoice) {
  /** @type {any[]} */ const entries = Array.isArray(choices) ? choices.filter((one) => one) : [];
  if (!isFailure(error, entries.length === 0)) error = undefined;
  const firstChoice = isOneChoice ? entries : entries.filter(({ index }) => Number(index ?? 0) === 0);
  // Some providers report usage in a choice, or in a field of their own.
  usage ||= x_groq?.usage || entries.find((one) => one.usage)?.usage;
  return [...firstChoice.map(choiceUpdate), { usage, error }];
}

/**
 * Read one entry of a chunk's `choices`.
 * @param {any} entry
 * @returns {StreamUpdate}
 */
function choiceUpdate({ delta, message, finish_reason: finishReason }) {
  const text = visibleText(delta);
  const content = [text, ...CONTENT_FIELDS.map((name) => delta?.[name]), delta?.audio?.transcript];
  const hasContent = content.some((value) => value && value.length !== 0);
  return { delta: text, fullText: visibleText(message), finishReason, hasContent, isFinished: Boolean(finishReason) };
}

/**
 * The visible text of a delta or message. A refusal is shown: without it an empty answer would look like a success.
 * @param {any} message
 */
function visibleText(message) {
  const { content, refusal } = message ?? {};
  const parts = Array.isArray(content) ? content.map((part) => (typeof part === "string" ? part : (part?.text ?? ""))).join("") : content;
  return (typeof parts === "string" ? parts : "") + (typeof refusal === "string" ? refusal : "");
}

/**
 * Parses an event stream that arrives in chunks of any size, exactly as the standard requires:
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.
 */
export class EventStreamParser {
  /** "The last event ID string": set by the last blank line. */
  lastEventId = "";
  /** @type {number | null} in milliseconds; null until the stream has set it */
  reconnectionTimeMs = null;

  #decoder = new TextDecoder(); // strips one byte order mark; invalid bytes become U+FFFD
  #line = ""; // the beginning of an unfinished line
  #endedInCr = false;
  /** @type {string[]} */ #data = [];
  #type = "";
  #id = "";

  /**
   * @param {Uint8Array} bytes the next bytes of the stream
   * @returns {StreamEvent[]} the events that they complete
   */
  feed(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    /** @type {StreamEvent[]} */ const events = [];
    let start = this.#endedInCr && text[0] === "\n" ? 1 : 0; // the second half of a CRLF
    LINE_END.lastIndex = start;
    for (let end; (end = LINE_END.exec(text)); start = LINE_END.lastIndex) {
      const event = this.#processLine(this.#line + text.slice(start, end.index));
      this.#line = "";
      if (event) events.push(event);
    }
    this.#line += text.slice(start);
    this.#endedInCr = text.endsWith("\r");
    return events;
  }

  /**
   * Call this at the end of a complete body. It returns a last event that lacks its blank line; the standard drops it.
   * @returns {StreamEvent[]} that event, if there is one
   */
  end() {
    const line = this.#line + this.#decoder.decode();
    this.#line = "";
    if (line) this.#processLine(line);
    const event = this.#dispatch();
    return event ? [event] : [];
  }

  /**
   * @param {string} line
   * @returns {StreamEvent | null} the event that the line completes
   */
  #processLine(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.reconnectionTimeMs = Number(value);
    return null; // "Otherwise: The field is ignored."
  }

  /** @returns {StreamEvent | null} */
  #dispatch() {
    this.lastEventId = this.#id;
    const data = this.#data.splice(0);
    const type = this.#type || "message";
    this.#type = "";
    return data.length ? { type, data: data.join("\n"), id: this.lastEventId } : null;
  }
}
