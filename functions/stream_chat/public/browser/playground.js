import { streamText } from "./stream.js";

// The page of `GET /`: a conversation with the relay that serves it, and measurements of each answer.

const byId = (id) => document.getElementById(id);
const element = (name, className, text = "") =>
  Object.assign(document.createElement(name), { className, textContent: text });

const RELAY = location.pathname.replace(/\/*$/, "/"); // behind a REST API the path begins with the stage
const KEY = "delta-relay-key";
const MAX_RAW_CHARACTERS = 500_000; // showing more would slow down the answer being measured

const asUiMessage = ({ role, content }) => ({ role, parts: [{ type: "text", text: content }] });
const FORMATS = {
  sse: { path: "v1/chat/completions", accept: "text/event-stream", messages: (all) => all },
  text: { path: "chatCompletion", accept: "text/plain", messages: (all) => all },
  ui: { path: "api/chat", accept: "text/event-stream", messages: (all) => all.map(asUiMessage) },
};

let conversation = []; // the messages sent with the next question
let current = null; // the answer that is being written

async function ask(question) {
  const messages = conversation;
  const view = new AnswerView(new Turn(question));
  const format = FORMATS[byId("form").elements.format.value];
  const system = byId("system").value.trim();
  const userMessage = { role: "user", content: question };
  const sent = [...(system ? [{ role: "system", content: system }] : []), ...messages, userMessage];
  const answer = streamText(RELAY + format.path, {
    messages: format.messages(sent),
    model: byId("model").value.trim(),
    headers: { accept: format.accept, ...credentials() },
    onDelta: (delta) => view.add(delta),
    fetch: (url, request) => view.recordingFetch(url, request),
  });
  setCurrent(answer);
  let error = null;
  await answer.finished.catch((reason) => (error = reason));
  setCurrent(null);
  if (messages !== conversation) return view.stop(); // the conversation was started over
  if (!error || answer.text) messages.push(userMessage, { role: "assistant", content: answer.text });
  // A question without an answer is not kept in the conversation; it returns to the input, to be corrected.
  else byId("question").value ||= question;
  view.end(answer, error);
}

function credentials() {
  const key = byId("key").value.trim();
  return key && { authorization: `Bearer ${key}` };
}

/** Suggest the models that this caller may use. Any other name can still be typed. */
async function suggestModels() {
  const response = await fetch(`${RELAY}v1/models`, { headers: { ...credentials() } }).catch(() => null);
  const { data = [] } = response?.ok ? await response.json() : {};
  byId("models").replaceChildren(...data.map(({ id }) => new Option(id)));
}

function setCurrent(answer) {
  current = answer;
  const [shown, hidden] = answer ? ["stop", "send"] : ["send", "stop"];
  byId(shown).hidden = false;
  const focused = document.activeElement;
  const hadFocus = focused === byId(hidden) || focused.matches("body, .example");
  byId(hidden).hidden = true;
  if (hadFocus && !isTouched()) byId(answer ? "stop" : "question").focus();
}

/** One question and its answer, as shown in the conversation. */
class Turn {
  constructor(question) {
    byId("welcome").hidden = true;
    const user = byId("turns").appendChild(element("li", "turn user"));
    user.append(element("p", "role", "You"), element("p", "content", question));
    this.item = byId("turns").appendChild(element("li", "turn streaming"));
    this.item.ariaBusy = "true";
    this.content = element("p", "content");
    this.item.append(element("p", "role", "Model"), this.content);
    this.beginBlock();
    scrollToEnd();
  }

  beginBlock() {
    this.text = this.content.appendChild(element("span", "")).appendChild(document.createTextNode(""));
  }

  add(text) {
    whileFollowing(() => {
      for (const line of text.split(/(?<=\n)/)) {
        // The browser lays out only the last block again, however long the text grows.
        if (this.text.length > 2000 && this.text.data.endsWith("\n")) this.beginBlock();
        this.text.appendData(line);
      }
    });
  }

  end(error, isAborted, notice) {
    whileFollowing(() => {
      this.item.classList.remove("streaming");
      this.item.ariaBusy = "false";
      if (isAborted) this.item.append(element("p", "note", "Stopped."));
      else if (error) this.item.append(errorBox(error));
      else if (notice) this.item.append(element("p", "notice", notice));
    });
  }
}

function scrollToEnd() {
  byId("scroller").scrollTop = byId("scroller").scrollHeight;
}

/** Change the conversation and scroll to its end, unless the user has scrolled up to read. */
function whileFollowing(change) {
  const { scrollTop, clientHeight, scrollHeight } = byId("scroller");
  change();
  if (scrollTop + clientHeight > scrollHeight - 40) scrollToEnd();
}

function errorBox(error) {
  const box = element("div", "error");
  box.role = "alert";
  const status = error.status && error.status !== 200 ? `HTTP ${error.status} · ` : "";
  box.append(element("strong", "", `${status}${error.code ?? error.name}`), element("p", "", error.message));
  if (error.param) box.append(element("p", "", `Field: ${error.param}`));
  const hint = hintFor(error);
  if (hint) box.append(element("p", "", hint));
  return box;
}

function hintFor({ status, code, retryAfterS }) {
  if (status === 401) return "Enter a caller’s key or token in the settings’ “Key” field.";
  if (retryAfterS) return `Try again in ${Math.ceil(retryAfterS)} s.`;
  if (code === "interrupted") return "The part that arrived is above. In the SSE and UI message formats the relay reports the reason.";
  return code === "unreachable" ? "Is the relay running, and is this machine online?" : "";
}

/** One answer: shown, measured and spoken at most once per animation frame, however many deltas arrive. */
class AnswerView {
  constructor(turn) {
    this.turn = turn;
    this.began = performance.now();
    this.arrivals = []; // [milliseconds, characters] of each delta
    this.unseen = this.unspoken = this.unseenRaw = "";
    this.rawCharacters = 0;
    this.frame = 0;
    this.clock = setInterval(() => this.schedule(), 100); // so that the elapsed time advances while waiting
    byId("raw").textContent = "";
    this.measure();
    speak("The model is answering.");
  }

  get elapsed() {
    return performance.now() - this.began;
  }

  add(delta) {
    this.arrivals.push([this.elapsed, delta.length]);
    this.unseen += delta;
    this.schedule();
  }

  /** `fetch`, which also records everything that is sent and received. */
  async recordingFetch(url, request) {
    this.record(`${request.method} ${url}\n${request.body}\n`);
    const response = await fetch(url, request);
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}\n`).join("");
    this.record(`HTTP ${response.status}\n${headers}`);
    if (!response.ok || !response.body || response.status === 204) return response;
    const decoder = new TextDecoder();
    const recording = new TransformStream({
      transform: (chunk, controller) => {
        this.record(decoder.decode(chunk, { stream: true }));
        controller.enqueue(chunk);
      },
    });
    return new Response(response.body.pipeThrough(recording), response);
  }

  record(text) {
    if (this.rawCharacters > MAX_RAW_CHARACTERS) return;
    this.rawCharacters += text.length;
    const rest = this.rawCharacters > MAX_RAW_CHARACTERS ? "… (the rest is not shown)" : text;
    this.unseenRaw += `+${(this.elapsed / 1000).toFixed(3)} s\n${rest}\n`;
    this.schedule();
  }

  schedule() {
    this.frame ||= requestAnimationFrame(() => this.show());
  }

  show() {
    this.frame = 0;
    if (this.unseen) {
      this.turn.add(this.unseen);
      this.unspoken += this.unseen;
      this.unseen = "";
      // Screen readers get whole sentences: they would read single deltas haltingly.
      const sentences = /^[^]*(?:[.!?:\n](?=\s)|[。！？।؟])/.exec(this.unspoken)?.[0];
      if (sentences) {
        speak(sentences);
        this.unspoken = this.unspoken.slice(sentences.length);
      }
    }
    if (this.unseenRaw) byId("raw").append(this.unseenRaw);
    this.unseenRaw = "";
    this.measure();
  }

  stop() {
    clearInterval(this.clock);
    cancelAnimationFrame(this.frame); // a hidden tab gets no frames
  }

  end(answer, error) {
    this.stop();
    this.show();
    const notice = noticeOf(answer);
    this.turn.end(error, answer.isAborted, notice);
    this.measure(answer, error);
    speak(this.unspoken);
    if (answer.isAborted) speak("Stopped.");
    else if (!error) speak(notice || "The answer is complete.");
  }

  measure(answer = null, error = null) {
    const { arrivals } = this;
    const [first = 0] = arrivals[0] ?? [];
    const [last = 0] = arrivals.at(-1) ?? [];
    const usage = answer?.usage;
    const tokens = numberIn(usage?.completion_tokens ?? usage?.outputTokens);
    // Reasoning tokens were generated before the first delta.
    const reasoningTokens = numberIn(usage?.completion_tokens_details?.reasoning_tokens ?? usage?.reasoningTokens) ?? 0;
    // While the usage is unknown, each delta counts as one token, which most deltas are.
    const rate = ((tokens ?? arrivals.length) - reasoningTokens - 1) / ((last - first) / 1000);
    byId("first").textContent = arrivals.length ? `${Math.round(first)} ms` : "–";
    byId("rate-name").textContent = tokens === undefined ? "Deltas per second" : "Tokens per second";
    byId("rate").textContent = last > first && rate > 0 ? rate.toFixed(1) : "–";
    byId("deltas").textContent = arrivals.length || "–";
    byId("tokens").textContent = tokens ?? "–";
    byId("time").textContent = `${(this.elapsed / 1000).toFixed(2)} s`;
    byId("request-id").textContent = answer?.requestId ?? "–";
    byId("ended").textContent = answer ? endOf(answer, error) : "–";
    this.draw(first, Math.max(last, 1), Boolean(answer));
  }

  /** Draw one stroke per delta, at its time of arrival; its height grows with the delta's length. */
  draw(first, last, isOver) {
    const { arrivals } = this;
    if (!isOver && this.elapsed < this.drawAgainAt) return;
    this.drawAgainAt = this.elapsed + 100;
    byId("chart").setAttribute("viewBox", `0 0 ${last * 1.01} 100`);
    const strokes = arrivals.map(([at, size]) => `M${at.toFixed(1)} 100v-${Math.min(25 + 6 * size, 96)}`);
    byId("ticks").setAttribute("d", strokes.join(""));
    byId("axis-end").textContent = arrivals.length ? `${(last / 1000).toFixed(2)} s` : "";
    byId("chart").ariaLabel = arrivals.length
      ? `${arrivals.length} deltas, from ${Math.round(first)} to ${Math.round(last)} milliseconds`
      : "No delta yet";
  }
}

const numberIn = (value) => (Number.isFinite(value) ? value : undefined);

function endOf(answer, error) {
  if (answer.isAborted) return "you";
  return error ? (error.code ?? error.name) : (answer.finishReason ?? "its end");
}

// The notice below an answer that did not end by itself. Providers have many names for the same finish reason.
const NOTICES = [
  [/length|max_.*tokens|token_limit/, "Cut off: the answer reached its token limit."],
  [/filter|safety|prohibited|blocklist|recitation/, "Cut off by a content filter."],
  [/tool|function/, "The model calls a tool, which this page does not run."],
  [/^(stop|end_turn|eos|complete)/, ""],
];

function noticeOf({ text, finishReason }) {
  const reason = String(finishReason ?? "stop").toLowerCase().replaceAll("-", "_");
  const [, notice] = NOTICES.find(([names]) => names.test(reason)) ?? [null, `Ended by “${finishReason}”.`];
  if (!text.trim()) return notice || "The answer has no text.";
  // Plain text carries no finish reason.
  return finishReason === null ? "This format does not report whether the answer was cut off." : notice;
}

function speak(text) {
  if (text.trim()) byId("spoken").append(element("p", "", text));
  while (byId("spoken").childElementCount > 20) byId("spoken").firstChild.remove();
}

function send(question) {
  if (!question.trim() || current) return;
  byId("question").value = "";
  ask(question.trim());
}

const isTouched = () => matchMedia("(pointer: coarse)").matches;

/** Whether an input method handles the key. Safari reports it by the old key code 229. */
const isComposing = ({ isComposing, keyCode }) => isComposing || keyCode === 229;

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send(byId("question").value);
});

byId("question").addEventListener("keydown", (event) => {
  // On phones Enter starts a new line, as usual there.
  if (event.key !== "Enter" || event.shiftKey || isComposing(event) || isTouched()) return;
  event.preventDefault();
  send(byId("question").value);
});

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !isComposing(event)) current?.abort();
});

byId("model").addEventListener("focus", suggestModels);

byId("stop").addEventListener("click", () => current?.abort());

byId("clear").addEventListener("click", () => {
  current?.abort();
  conversation = [];
  for (const id of ["turns", "raw", "spoken"]) byId(id).textContent = "";
  byId("welcome").hidden = false;
  byId("question").focus();
});

for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => send(example.textContent));
}

try {
  byId("key").value = sessionStorage.getItem(KEY) ?? "";
  byId("key").addEventListener("input", () => sessionStorage.setItem(KEY, byId("key").value));
} catch {
  byId("key-note").textContent = "A caller’s key or token, if the relay requires one. This browser keeps nothing here.";
}

const isWide = matchMedia("(min-width: 56rem)").matches;
for (const id of ["settings", "measurements"]) byId(id).open = isWide;
