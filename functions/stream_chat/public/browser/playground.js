import { streamText } from "./stream.js";

// The page of `GET /`: a conversation with the relay that serves it, and what can be measured of an answer.

const byId = (id) => document.getElementById(id);
const made = (name, className, text = "") =>
  Object.assign(document.createElement(name), { className, textContent: text });

const RELAY = location.pathname.replace(/\/*$/, "/"); // behind a REST API it has its stage in front
const KEY = "delta-relay-key";
const MAX_RAW_CHARACTERS = 500_000; // beyond it the page would slow down what it measures

const asUiMessage = ({ role, content }) => ({ role, parts: [{ type: "text", text: content }] });
const FORMATS = {
  sse: { path: "v1/chat/completions", accept: "text/event-stream", messages: (all) => all },
  text: { path: "chatCompletion", accept: "text/plain", messages: (all) => all },
  ui: { path: "api/chat", accept: "text/event-stream", messages: (all) => all.map(asUiMessage) },
};

let conversation = []; // what the model is sent: questions with their answers
let current = null; // the answer that is being written

async function ask(question) {
  const talk = conversation;
  const view = new AnswerView(new Turn(question));
  const format = FORMATS[byId("form").elements.format.value];
  const system = byId("system").value.trim();
  const mine = { role: "user", content: question };
  const sent = [...(system ? [{ role: "system", content: system }] : []), ...talk, mine];
  const key = byId("key").value.trim();
  const answer = streamText(RELAY + format.path, {
    messages: format.messages(sent),
    model: byId("model").value.trim(),
    headers: { accept: format.accept, ...(key && { authorization: `Bearer ${key}` }) },
    onDelta: (delta) => view.add(delta),
    fetch: (url, request) => view.tapped(url, request),
  });
  setCurrent(answer);
  let error = null;
  await answer.finished.catch((reason) => (error = reason));
  setCurrent(null);
  if (talk !== conversation) return view.stop(); // it has been started over
  if (!error || answer.text) talk.push(mine, { role: "assistant", content: answer.text });
  // A question without an answer is no part of the conversation; it is given back, to be put right.
  else byId("question").value ||= question;
  view.end(answer, error);
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

/** One question and its answer, as they stand in the conversation. */
class Turn {
  constructor(question) {
    byId("welcome").hidden = true;
    const mine = byId("turns").appendChild(made("li", "turn mine"));
    mine.append(made("p", "who", "You"), made("p", "said", question));
    this.item = byId("turns").appendChild(made("li", "turn streaming"));
    this.item.ariaBusy = "true";
    this.said = made("p", "said");
    this.item.append(made("p", "who", "Model"), this.said);
    this.beginBlock();
    scrollToEnd();
  }

  beginBlock() {
    this.text = this.said.appendChild(made("span", "")).appendChild(document.createTextNode(""));
  }

  add(text) {
    keepingPlace(() => {
      for (const line of text.split(/(?<=\n)/)) {
        // A text in blocks is laid out anew only in its last one, however long it grows.
        if (this.text.length > 2000 && this.text.data.endsWith("\n")) this.beginBlock();
        this.text.appendData(line);
      }
    });
  }

  end(error, isAborted, notice) {
    keepingPlace(() => {
      this.item.classList.remove("streaming");
      this.item.ariaBusy = "false";
      if (isAborted) this.item.append(made("p", "note", "Stopped."));
      else if (error) this.item.append(errorBox(error));
      else if (notice) this.item.append(made("p", "notice", notice));
    });
  }
}

function scrollToEnd() {
  byId("scroller").scrollTop = byId("scroller").scrollHeight;
}

/** Change the conversation, and follow it to its end, unless somebody has scrolled up and is reading there. */
function keepingPlace(change) {
  const { scrollTop, clientHeight, scrollHeight } = byId("scroller");
  change();
  if (scrollTop + clientHeight > scrollHeight - 40) scrollToEnd();
}

function errorBox(error) {
  const box = made("div", "error");
  box.role = "alert";
  const status = error.status && error.status !== 200 ? `HTTP ${error.status} · ` : "";
  box.append(made("strong", "", `${status}${error.code ?? error.name}`), made("p", "", error.message));
  if (error.param) box.append(made("p", "", `Field: ${error.param}`));
  const hint = hintFor(error);
  if (hint) box.append(made("p", "", hint));
  return box;
}

function hintFor({ status, code, retryAfterS }) {
  if (status === 401) return "Put a caller’s key or token into the settings’ field “Key”.";
  if (retryAfterS) return `Try again in ${Math.ceil(retryAfterS)} s.`;
  if (code === "interrupted") return "What had come is above. In the formats SSE and UI message the relay says why.";
  return code === "unreachable" ? "Is the relay running, and this machine online?" : "";
}

/** One answer: shown, measured and spoken once for each frame of the screen, however many deltas come. */
class AnswerView {
  constructor(turn) {
    this.turn = turn;
    this.began = performance.now();
    this.arrivals = []; // [milliseconds, characters] of each delta
    this.unseen = this.unspoken = this.unseenRaw = "";
    this.rawCharacters = 0;
    this.frame = 0;
    this.clock = setInterval(() => this.schedule(), 100); // so that waiting is seen to go on
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

  /** `fetch`, with everything that comes over the wire noted on its way. */
  async tapped(url, request) {
    this.note(`${request.method} ${url}\n${request.body}\n`);
    const response = await fetch(url, request);
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}\n`).join("");
    this.note(`HTTP ${response.status}\n${headers}`);
    if (!response.ok || !response.body || response.status === 204) return response;
    const decoder = new TextDecoder();
    const noting = new TransformStream({
      transform: (chunk, controller) => {
        this.note(decoder.decode(chunk, { stream: true }));
        controller.enqueue(chunk);
      },
    });
    return new Response(response.body.pipeThrough(noting), response);
  }

  note(text) {
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
      // A screen reader is given whole sentences: deltas would be read as a stutter.
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
    cancelAnimationFrame(this.frame); // none comes in a tab that is not seen
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
    // What a model has thought was written before the first delta.
    const thought = numberIn(usage?.completion_tokens_details?.reasoning_tokens ?? usage?.reasoningTokens) ?? 0;
    // Until the usage is known, and where it never is, a delta is taken for a token, as most of them are one.
    const rate = ((tokens ?? arrivals.length) - thought - 1) / ((last - first) / 1000);
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

  /** One stroke for each delta, at the time of its arrival; the longer the text, the taller. */
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

// What stands with an answer that did not end by itself. Providers have many names for the same reason.
const NOTICES = [
  [/length|max_.*tokens|token_limit/, "Cut off: the answer has reached its limit of tokens."],
  [/filter|safety|prohibited|blocklist|recitation/, "Cut off by a content filter."],
  [/tool|function/, "The model calls a tool, which this page does not run."],
  [/^(stop|end_turn|eos|complete)/, ""],
];

function noticeOf({ text, finishReason }) {
  const reason = String(finishReason ?? "stop").toLowerCase().replaceAll("-", "_");
  const [, notice] = NOTICES.find(([names]) => names.test(reason)) ?? [null, `Ended by “${finishReason}”.`];
  if (!text) return notice || "The answer has no text.";
  // Plain text has no word for it.
  return finishReason === null ? "This format does not tell whether the answer was cut off." : notice;
}

function speak(text) {
  if (text.trim()) byId("spoken").append(made("p", "", text));
  while (byId("spoken").childElementCount > 20) byId("spoken").firstChild.remove();
}

function send(question) {
  if (!question.trim() || current) return;
  byId("question").value = "";
  ask(question.trim());
}

const isTouched = () => matchMedia("(pointer: coarse)").matches;

/** Whether an input method has the key; Safari says so in an old way. */
const isComposing = ({ isComposing, keyCode }) => isComposing || keyCode === 229;

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send(byId("question").value);
});

byId("question").addEventListener("keydown", (event) => {
  // On a phone Enter begins a line, as everywhere there.
  if (event.key !== "Enter" || event.shiftKey || isComposing(event) || isTouched()) return;
  event.preventDefault();
  send(byId("question").value);
});

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !isComposing(event)) current?.abort();
});

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
  byId("key-note").textContent = "A caller’s key or token, if the relay asks for one. This browser keeps nothing here.";
}

const isWide = matchMedia("(min-width: 56rem)").matches;
for (const id of ["settings", "measurements"]) byId(id).open = isWide;
