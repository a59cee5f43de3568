// Reads answers with Vercel's AI SDK, as useChat does: `node ai_sdk.mjs ai|ai-6|ai-7 < jobs`. A job is
// {"transport": "ui-message"|"text"|"chat"|"resume", "url": "…/api/chat", "model": "…"}. Its result holds the parts of the
// stream, the message assembled from them, and the error that ended the reading. "chat" uses useChat's own engine, with
// tools that it runs; its result holds all messages of the conversation. "resume" does what useChat({ resume: true }) does
// on every mount, with the job's `headers`, chat `id` and earlier `messages`.
import { runJobs } from "./jobs.mjs";

const {
  AbstractChat,
  DefaultChatTransport,
  TextStreamChatTransport,
  lastAssistantMessageIsCompleteWithToolCalls,
  readUIMessageStream,
} = await import(process.argv[2]);

const question = { id: "question", role: "user", parts: [{ type: "text", text: "hi" }] };

const transports = {
  "ui-message": (api) => new DefaultChatTransport({ api }),
  text: (api) =>
    new TextStreamChatTransport({
      api,
      prepareSendMessagesRequest: ({ messages, body }) => ({
        body: { ...body, messages: messages.map(asOpenAIMessage) },
      }),
    }),
};

// The engine of useChat, with its state in plain fields instead of React's.
class Conversation extends AbstractChat {
  constructor(url, model, { headers, messages = [], ...given } = {}) {
    const state = {
      status: "ready",
      error: undefined,
      messages,
      pushMessage: (message) => void (state.messages = [...state.messages, message]),
      popMessage: () => void (state.messages = state.messages.slice(0, -1)),
      replaceMessage: (at, message) => void (state.messages = state.messages.with(at, message)),
      snapshot: (value) => structuredClone(value),
    };
    super({
      state,
      transport: new DefaultChatTransport({ api: url, body: { model }, headers }),
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
      onToolCall: ({ toolCall: { toolName, toolCallId, input } }) => {
        this.addToolResult({ tool: toolName, toolCallId, output: { of: input } });
      },
      ...given,
    });
  }
}

async function converse(url, model) {
  const chat = new Conversation(url, model);
  await chat.sendMessage({ text: "hi" });
  await chat.sendMessage({ text: "and now?" });
  await chat.regenerate();
  return { messages: chat.messages, error: chat.error?.message ?? null };
}

async function resume(url, model, { id, headers, messages }) {
  const outcome = { errors: [], finished: [] };
  const chat = new Conversation(url, model, {
    id,
    headers,
    messages,
    onError: (error) => outcome.errors.push(error.message),
    onFinish: ({ isAbort, isDisconnect, isError }) => outcome.finished.push(isAbort || isDisconnect || isError),
  });
  await chat.resumeStream();
  return { messages: chat.messages, status: chat.status, error: chat.error?.message ?? null, ...outcome };
}

await runJobs(async ({ transport, url, model, ...given }) => {
  if (transport === "resume") return resume(url, model, given);
  if (transport === "chat") return converse(url, model);
  const seen = { parts: [], message: null, error: null };
  const record = new TransformStream({
    transform(part, controller) {
      seen.parts.push(part);
      controller.enqueue(part);
    },
  });
  try {
    const stream = await transports[transport](url).sendMessages({
      trigger: "submit-message",
      chatId: "chat",
      messages: [question],
      body: { model },
    });
    const messages = readUIMessageStream({ stream: stream.pipeThrough(record), terminateOnError: true });
    for await (const message of messages) seen.message = message;
  } catch (error) {
    seen.error = error.message;
  }
  return seen;
});

function asOpenAIMessage({ role, parts }) {
  return { role, content: parts.map((part) => part.text ?? "").join("") };
}
