// Calls the relay with OpenAI's own package: `node openai_package.mjs BASE_URL < jobs`. A job is
// {"way": "chat create", "model": "…"}. Its result has the fields of tests/support/clients/openai_clients.py.
import OpenAI from "openai";
import { runJobs } from "./jobs.mjs";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "any", maxRetries: 0 });
const messages = [{ role: "user", content: "hi" }];
const input = "hi";

const ways = {
  "chat create": async (model, seen) => {
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
      addChunk(seen, chunk);
  },
  "chat helper": async (model, seen) => {
    const stream = client.chat.completions.stream({ model, messages });
    stream.on("content.delta", ({ delta }) => addTo(seen.text_deltas, delta));
    stream.on("refusal.delta", ({ delta }) => addTo(seen.refusal_deltas, delta));
    addCompletion(seen, await stream.finalChatCompletion());
  },
  "chat whole": async (model, seen) =>
    addCompletion(seen, await client.chat.completions.create({ model, messages })),
  "responses create": async (model, seen) => {
    for await (const event of await client.responses.create({ model, input, stream: true }))
      addResponseEvent(seen, event);
  },
  "responses helper": async (model, seen) => {
    const stream = client.responses.stream({ model, input });
    stream.on("event", (event) => addResponseEvent(seen, event));
    const final = await stream.finalResponse(); // rejects with errors that the events' iterator may hide
    if (final.status === "completed") addResponse(seen, final);
  },
  "responses whole": async (model, seen) =>
    addResponse(seen, await client.responses.create({ model, input })),
  "models list": async (model, seen) => {
    for await (const { id } of client.models.list()) seen.text_deltas.push(id);
  },
  "models retrieve": async (model, seen) => {
    seen.text = (await client.models.retrieve(model)).id;
  },
};

await runJobs(async ({ way, model }) => {
  const seen = {
    text_deltas: [],
    refusal_deltas: [],
    text: null,
    refusal: null,
    tool_calls: [],
    finish_reason: null,
    total_tokens: null,
    events: [],
    failure: null,
    error: null,
  };
  try {
    await ways[way](model, seen);
  } catch (error) {
    const kind = error instanceof OpenAI.APIError ? "APIError" : error.constructor.name;
    seen.error = { kind, status: error.status ?? null, code: error.code ?? null, message: error.message };
  }
  seen.text ??= seen.text_deltas.join("");
  seen.refusal ??= seen.refusal_deltas.join("");
  return seen;
});

function addTo(list, piece) {
  if (piece) list.push(piece);
}

function addChunk(seen, chunk) {
  for (const { delta, finish_reason } of chunk.choices) {
    addTo(seen.text_deltas, delta.content);
    addTo(seen.refusal_deltas, delta.refusal);
    for (const { index, id, function: called } of delta.tool_calls ?? []) {
      seen.tool_calls[index] ??= { id, name: called.name, arguments: "" };
      seen.tool_calls[index].arguments += called.arguments ?? "";
    }
    seen.finish_reason = finish_reason ?? seen.finish_reason;
  }
}

function addCompletion(seen, { choices: [{ message, finish_reason }], usage }) {
  seen.text = message.content ?? "";
  seen.refusal = message.refusal ?? "";
  seen.tool_calls = (message.tool_calls ?? []).map((call) => ({
    id: call.id,
    name: call.function.name,
    arguments: call.function.arguments,
  }));
  seen.finish_reason = finish_reason;
  seen.total_tokens = usage?.total_tokens ?? null;
}

function addResponseEvent(seen, event) {
  seen.events.push(event.type);
  if (event.type === "response.output_text.delta") addTo(seen.text_deltas, event.delta);
  if (event.type === "response.refusal.delta") addTo(seen.refusal_deltas, event.delta);
  if (event.type === "response.output_item.added" && event.item.type === "function_call")
    seen.tool_calls.push({ id: event.item.call_id, name: event.item.name, arguments: "", item: event.item.id });
  if (event.type === "response.function_call_arguments.delta")
    seen.tool_calls.find((call) => call.item === event.item_id).arguments += event.delta;
  if (event.type === "error") seen.failure = event.message;
  if (["response.completed", "response.failed"].includes(event.type)) {
    seen.tool_calls.forEach((call) => delete call.item);
    seen.finish_reason = event.response.status;
    seen.failure = event.response.error?.message ?? null;
  }
}

function addResponse(seen, response) {
  const contents = response.output.flatMap((item) => (item.type === "message" ? item.content : []));
  seen.text = response.output_text;
  seen.refusal = contents.map((content) => content.refusal ?? "").join("");
  seen.tool_calls = response.output
    .filter((item) => item.type === "function_call")
    .map((item) => ({ id: item.call_id, name: item.name, arguments: item.arguments }));
  seen.finish_reason = response.status;
  seen.total_tokens = response.usage.total_tokens;
}
