// Asks by Vercel's AI SDK, as useChat does: `node ai_sdk.mjs ai|ai-6 < jobs`, a job being
// {"transport": "ui-message"|"text", "url": "…/api/chat", "model": "…"}. Seen are the parts of the stream, the
// message that they came to, and the error that ended the reading.
import { runJobs } from "./jobs.mjs";

const { DefaultChatTransport, TextStreamChatTransport, readUIMessageStream } = await import(process.argv[2]);

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

await runJobs(async ({ transport, url, model }) => {
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
