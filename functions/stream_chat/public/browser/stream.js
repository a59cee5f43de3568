/**
 * Reads a streamed answer of Delta Relay, in a browser or wherever there is `fetch`. It needs no other file.
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
 * @property {string} [model] the relay's default model if there is none
 * @property {Readonly<Record<string, unknown>>} [body] whatever else the request holds (`temperature`, `tools`, …)
 * @property {"GET" | "POST"} [method] POST unless it says GET, which has no body
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers] such as the caller's key; a function
 *   is asked before each request, for a token that expires
 * @property {AbortSignal} [signal] ends the answer, and closes its connection
 * @property {(delta: string, text: string) => void} [onDelta] called with each delta and with the text so far
 * @property {typeof globalThis.fetch} [fetch] in place of the global one
 */

/**
 * One event of an event stream.
 * @typedef {object} StreamEvent
 * @property {string} type "message" where the stream names none
 * @property {string} data its data lines, joined by line feeds
 * @property {string} id the last event ID, "" until the stream has set one
 */

/**
 * What one event says, of the first choice.
 * @typedef {object} Said
 * @property {unknown} [delta]
 * @property {unknown} [opens] the message of a response that begins, by its place or id
 * @property {unknown} [of] the message of a response to which the delta belongs
 * @property {string} [whole] the message in one piece, or a piece of it, which counts where no delta has come
 * @property {any} [usage]
 * @property {any} [finishReason]
 * @property {boolean} [goesOn] whether it holds a piece of the answer: text, or a tool's arguments
 * @property {boolean} [isFinished] whether the answer says that it has ended; one that goes on takes that back
 * @property {boolean} [isWhole] whether the answer has come to its own end
 * @property {any} [error]
 */

/**
 * @typedef {{ code: string, status?: number | null, type?: string | null, param?: string | null, text?: string,
 *   requestId?: string | null, retryAfterS?: number | null, cause?: unknown }} ErrorDetails
 */

const DONE = "[DONE]"; // the relay never makes one up
// What a chunk may add to its choice besides text.
const GO_ON = [
  "tool_calls",
  "function_call",
  "reasoning_content",
  "reasoning",
  "reasoning_text",
  "thinking",
  "thinking_blocks",
  "reasoning_details",
];
// Between the messages of a response, such as commentary and the final answer, as in the relay's transcripts.
const BREAK = "\n\n";
const LINE_END = /\r\n?|\n/g;

/** Why an answer is missing or not whole. What had come of it is in `text`. */
export class StreamError extends Error {
  /**
   * @param {string} message
   * @param {ErrorDetails} details
   */
  constructor(message, details) {
    const { code, status = null, type = null, param = null, text = "", requestId = null, retryAfterS = null } = details;
    super(message, { cause: details.cause });
    this.name = "StreamError";
    /** The relay's or the upstream's code; or `unreachable`, `interrupted`, `not_a_stream`: seen from here. */
    this.code = code;
    /** The HTTP status: 200 if the answer had begun, null if there was none. */
    this.status = status;
    this.type = type;
    /** The field of the request that is to blame, if one is. */
    this.param = param;
    /** The part of the answer that had come. */
    this.text = text;
    /** The relay's id of the request, by which its log and transcript are found. */
    this.requestId = requestId;
    /** After how many seconds to try again, if the relay said so. */
    this.retryAfterS = retryAfterS;
  }
}

/**
 * Ask for an answer and read it while it is being written. The request is made at once, whether or not the
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
 * is missing or not whole, and the signal's reason if it was aborted. Leaving the loop early closes the connection.
 */
export class TextStream {
  /** The text so far; in the end the whole. */
  text = "";
  /** @type {any} tokens used, as the route reports them; null where it does not */
  usage = null;
  /** @type {string | null} `stop`, `length`, …; null for plain text, which does not say */
  finishReason = null;
  /** @type {string | null} the relay's id of the request */
  requestId = null;
  /** @type {number | null} the HTTP status */
  status = null;
  /** Whether it has ended because it was stopped from here. */
  isAborted = false;

  #abort = new AbortController();
  /** @type {(delta: string, text: string) => void} */ #onDelta;
  /** @type {string[]} */ #deltas = [];
  #heldBack = ""; // the first half of a surrogate pair
  #isOver = false;
  /** @type {(() => void)[]} */ #waiting = [];
  /** Messages of a response that have begun, and said nothing yet. @type {Set<unknown>} */ #silent = new Set();
  #isOneChoice = true; // whatever index its entries have: some gateways count content blocks or tokens there
  #hasDeltas = false;
  #isFinished = false;
  #wentOn = false; // behind a finish reason: what other chunks say of an end counts no more
  #isWhole = false;

  /**
   * @param {string | URL} url
   * @param {StreamOptions} options
   */
  constructor(url, options) {
    this.#onDelta = options.onDelta ?? (() => {});
    /** @type {Promise<this>} the whole answer: this very object, or what iterating would throw */
    this.finished = this.#run(url, options);
    this.finished.catch(() => {}); // whoever only iterates hears of it there
  }

  /** Stop: the connection is closed, and the relay stops the model as soon as it notices.
   * @param {unknown} [reason] an AbortError if there is none */
  abort(reason) {
    this.#abort.abort(reason);
  }

  /**
   * No generator: its `return` would wait for the next delta, which may never come.
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
      this.abort(); // nothing more of it is wanted
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
    const given = await Promise.race([typeof headers === "function" ? headers() : headers, stopped]);
    signal.throwIfAborted(); // who has changed his mind by now is not asking
    const sent = new Headers(given);
    if (!sent.has("accept")) sent.set("accept", "text/event-stream");
    const request = { method, headers: sent, signal };
    if (method !== "GET") {
      sent.set("content-type", "application/json");
      /** @type {Record<string, unknown>} */
      const asked = { ...body, ...(messages && { messages }), ...(model && { model }), stream: true };
      // Chat completions report no usage unless they are asked to; responses do.
      if (asked.messages ?? asked.message) asked.stream_options ??= { include_usage: true };
      Object.assign(request, { body: JSON.stringify(asked) });
    }
    const response = await fetch(url, request).catch((cause) => {
      throw this.#error(`The relay could not be reached (${cause.message}).`, { code: "unreachable", cause });
    });
    this.status = response.status;
    this.requestId = response.headers.get("x-relay-request-id");
    if (!response.ok) throw await this.#refusal(response);
    return response;
  }

  /** @param {Response} response */
  async #refusal(response) {
    const document = await response.json().catch(() => null);
    const error = document?.error ?? { message: document?.message ?? document?.Message }; // as AWS itself says it
    const retryAfterS = parseFloat(response.headers.get("retry-after") ?? "");
    return this.#reported(error, `http_${response.status}`, `The relay answered with status ${response.status}.`, {
      retryAfterS: Number.isFinite(retryAfterS) ? retryAfterS : null,
    });
  }

  /** @param {Response} response */
  async #read(response) {
    const type = (response.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
    if (!response.body || (type !== "text/event-stream" && type !== "text/plain")) {
      throw this.#error(`The answer is no stream of text (${response.status} ${type || "without a type"}).`, {
        code: "not_a_stream",
      });
    }
    const take = type === "text/plain" ? this.#plain() : this.#events();
    const reader = response.body.getReader();
    let isCut = false;
    for (;;) {
      const { done, value } = await reader.read().catch((cause) => {
        // What breaks off after the end has taken nothing from the answer.
        isCut = this.#isWhole || this.#isFinished;
        if (isCut) return { done: true, value: undefined };
        throw this.#interrupted(cause);
      });
      if (done) break;
      take(value);
      this.#wake();
    }
    if (!isCut) take();
    // The end of plain text is the answer's.
    if (type !== "text/plain" && !this.#isWhole && !this.#isFinished && !this.#wentOn) throw this.#interrupted();
    if (!this.#heldBack) return;
    this.#heldBack = "";
    this.#add("\uFFFD");
  }

  /** @returns {(bytes?: Uint8Array) => void} */
  #plain() {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return (bytes) => this.#add(decoder.decode(bytes, { stream: bytes !== undefined }));
  }

  /** @returns {(bytes?: Uint8Array) => void} */
  #events() {
    const parser = new EventStreamParser();
    return (bytes) => {
      const events = bytes ? parser.feed(bytes) : parser.end();
      for (const said of events.flatMap((event) => saidBy(event, this.#isOneChoice))) this.#take(said);
    };
  }

  /** @param {Said} said */
  #take({ delta, whole, opens, of, usage, finishReason, goesOn, isFinished, isWhole, error }) {
    if (opens !== undefined) this.#silent.add(opens);
    if (delta && typeof delta === "string") {
      this.#hasDeltas = true;
      this.#add(this.#silent.delete(of) && this.text ? BREAK + delta : delta);
    }
    if (whole && !this.#hasDeltas) this.#add(whole.startsWith(this.text) ? whole.slice(this.text.length) : whole);
    if (usage) this.usage = usage;
    if (goesOn && this.finishReason) {
      // Some upstreams put a finish reason on every chunk.
      this.#wentOn = true;
      this.#isFinished = false;
      this.finishReason = null;
    }
    if (finishReason) this.finishReason ??= finishReason;
    if (isFinished && !this.#wentOn) this.#isFinished = true;
    if (isWhole) this.#isWhole = true;
    if (error) throw this.#reported(error, "upstream_error", "The upstream has reported an error.");
  }

  /**
   * A character outside the basic plane may come in two deltas: its first half waits for the second.
   * @param {string} delta
   */
  #add(delta) {
    if (!delta) return;
    this.#abort.signal.throwIfAborted(); // one read may bring more than `onDelta` wanted
    delta = this.#heldBack + delta;
    this.#heldBack = /[\uD800-\uDBFF]$/.test(delta) ? delta.slice(-1) : "";
    if (this.#heldBack) delta = delta.slice(0, -1);
    delta = delta.replace(/\p{Surrogate}/gu, "\uFFFD"); // with `u` it matches none of a pair
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
   * @param {any} error OpenAI's error object, or a plain text
   * @param {string} code for an error that has none
   * @param {string} message the same
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
 * Upstreams have put all kinds of values where a text should be.
 * @param {unknown} value
 */
function textIn(value) {
  return (typeof value === "string" && value) || (typeof value === "number" ? String(value) : null);
}

/**
 * What each type of event says, for the routes whose events have types: UI messages and responses.
 * @type {Record<string, (event: any) => Said>}
 */
const READERS = {
  "text-delta": ({ delta }) => ({ delta }),
  finish: ({ finishReason, messageMetadata }) => ({ finishReason, usage: messageMetadata?.usage, isWhole: true }),
  error: ({ error, errorText, message, code }) => ({ error: error ?? errorText ?? { message, code } }),
  "response.output_item.added": ({ item, output_index }) =>
    item?.type === "message" ? { opens: output_index ?? item.id } : {},
  "response.output_text.delta": ({ delta, output_index, item_id }) => ({ delta, of: output_index ?? item_id }),
  "response.refusal.delta": ({ delta, output_index, item_id }) => ({ delta, of: output_index ?? item_id }),
};

/** How a response ends, from best to worst: where name and status disagree, the worse is believed. */
const ENDINGS = ["completed", "incomplete", "failed", "cancelled"];
/** What an error says that is none. */
const NO_FAILURE = /^\s*(0|false|none|null|no[ _]?error|ok(ay)?|normal|done|stop|succe(ed|eded|ss|ssful)|finished|completed?)[.!\s]*$/i;
/** Events whose response has not ended, whatever its status says. */
const PROGRESS = ["response.created", "response.queued", "response.in_progress"];

/** @param {unknown} text */
function spelled(text) {
  return String(text).replace(/canceled$/, "cancelled");
}

/**
 * What an event says that ends a response, under whichever name: some upstreams have others than OpenAI, or put
 * the response's fields into the event itself. Null if it ends none.
 * @param {string} name
 * @param {any} event
 * @returns {Said | null}
 */
function endSaid(name, event) {
  const named = ENDINGS.findIndex((ending) => `response.${ending}` === spelled(name));
  const isLast = named >= 0 || name === "response.done" || name === "done";
  const response = event.response ?? (isLast || event.object === "response" ? event : null);
  if (!response || typeof response !== "object" || PROGRESS.includes(name)) return null;
  const { status, usage = event.usage } = response;
  const error = response.error ?? event.error;
  let ending = Math.max(ENDINGS.indexOf(spelled(status)), named);
  if (ending < 0 && !status && name === "response.done") ending = error ? 2 : 0;
  if (ending < 0) return null;
  if (ENDINGS[ending] === "cancelled") return { error: { message: "The upstream cancelled the response.", code: "cancelled" } };
  if (ENDINGS[ending] === "failed" || error) return { error: error ?? "The response has failed." };
  const reason = response.incomplete_details?.reason ?? "incomplete";
  return { finishReason: ENDINGS[ending] === "completed" ? "stop" : reason, usage, isWhole: true };
}

/**
 * What an event says, of each document in it.
 * @param {StreamEvent} event
 * @param {boolean} isOneChoice
 * @returns {Said[]}
 */
function saidBy({ type, data }, isOneChoice) {
  // Some servers leave out the blank line between two events: then each line is a document.
  const documents = parsed([data]) ?? parsed(data.split("\n"));
  if (!documents) return type === "error" ? [{ error: data }] : [];
  return documents.flatMap((document) => documentSaid(document, type, isOneChoice));
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
 * Types of events that are not known say nothing, as providers add some.
 * @param {any} document
 * @param {string} type
 * @param {boolean} isOneChoice
 * @returns {Said[]}
 */
function documentSaid(document, type, isOneChoice) {
  if (document === DONE) return [{ isWhole: true }];
  if (document === null || typeof document !== "object") return [];
  const name = document.type ?? (/^(error|done|response\..*)$/.test(type) ? type : "");
  if (Object.hasOwn(READERS, name)) return [READERS[name](document)];
  const end = endSaid(name, document);
  return end ? [end] : chunkSaid(document, isOneChoice);
}

/**
 * Whether a chunk's `error` is one: some providers have the member in each of their chunks.
 * @param {any} error
 * @param {boolean} isAlone
 */
function isFailure(error, isAlone) {
  if (!error || typeof error !== "object") return Boolean(error) && !NO_FAILURE.test(error);
  const { message, msg, code } = error;
  const isFine = NO_FAILURE.test(message || msg || "?") && (NO_FAILURE.test(code ?? 0) || Number(code) < 400);
  return !isFine && (isAlone || Object.values(error).some(Boolean));
}

/**
 * What a chunk of chat completions says.
 * @param {any} chunk
 * @param {boolean} isOneChoice
 * @returns {Said[]}
 */
function chunkSaid({ choices, usage, x_groq, error }, isOneChoice) {
  /** @type {any[]} */ const entries = Array.isArray(choices) ? choices.filter((one) => one) : [];
  if (!isFailure(error, entries.length === 0)) error = undefined;
  const mine = isOneChoice ? entries : entries.filter(({ index }) => Number(index ?? 0) === 0);
  // Some report it in a choice, or in a field of their own.
  usage ||= x_groq?.usage || entries.find((one) => one.usage)?.usage;
  return [...mine.map(entrySaid), { usage, error }];
}

/**
 * What a chunk's entry for a choice says.
 * @param {any} entry
 * @returns {Said}
 */
function entrySaid({ delta, message, finish_reason: finishReason }) {
  const text = visible(delta);
  const said = [text, ...GO_ON.map((name) => delta?.[name]), delta?.audio?.transcript];
  const goesOn = said.some((value) => value && value.length !== 0);
  return { delta: text, whole: visible(message), finishReason, goesOn, isFinished: Boolean(finishReason) };
}

/**
 * The visible text of a delta or message. A refusal is shown: without it an empty answer would look like a success.
 * @param {any} message
 */
function visible(message) {
  const { content, refusal } = message ?? {};
  const parts = Array.isArray(content) ? content.map((part) => (typeof part === "string" ? part : (part?.text ?? ""))).join("") : content;
  return (typeof parts === "string" ? parts : "") + (typeof refusal === "string" ? refusal : "");
}

/**
 * Splits an event stream into its events, whatever the sizes of the pieces it comes in, to the letter of
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.
 */
export class EventStreamParser {
  /** "The last event ID string": set by the last blank line. */
  lastEventId = "";
  /** @type {number | null} in milliseconds, null until the stream has set it */
  reconnectionTimeMs = null;

  #decoder = new TextDecoder(); // takes away one byte order mark; a bad byte becomes U+FFFD
  #line = ""; // the beginning of one that has not ended yet
  #endedInCr = false;
  /** @type {string[]} */ #data = [];
  #type = "";
  #id = "";

  /**
   * @param {Uint8Array} bytes the next ones of the stream
   * @returns {StreamEvent[]} the events that they complete
   */
  feed(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    /** @type {StreamEvent[]} */ const events = [];
    let start = this.#endedInCr && text[0] === "\n" ? 1 : 0; // the other half of a CRLF
    LINE_END.lastIndex = start;
    for (let end; (end = LINE_END.exec(text)); start = LINE_END.lastIndex) {
      const event = this.#take(this.#line + text.slice(start, end.index));
      this.#line = "";
      if (event) events.push(event);
    }
    this.#line += text.slice(start);
    this.#endedInCr = text.endsWith("\r");
    return events;
  }

  /**
   * The end of a whole body, whose last event may lack its blank line: outside the standard, which drops it.
   * @returns {StreamEvent[]} that event, if there is one
   */
  end() {
    const line = this.#line + this.#decoder.decode();
    this.#line = "";
    if (line) this.#take(line);
    const event = this.#dispatch();
    return event ? [event] : [];
  }

  /**
   * @param {string} line
   * @returns {StreamEvent | null} the event that it ends
   */
  #take(line) {
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
