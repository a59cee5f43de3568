// useChat({ resume: true }) of three versions of the AI SDK, side by side, each with a stored answer.
import { useChat as useChat5 } from "@ai-sdk/react";
import { DefaultChatTransport as Transport5 } from "ai";
import { DefaultChatTransport as Transport6 } from "ai-6";
import { DefaultChatTransport as Transport7 } from "ai-7";
import { useChat as useChat6 } from "ai-sdk-react-6";
import { useChat as useChat7 } from "ai-sdk-react-7";

const VERSIONS = { 5: [useChat5, Transport5], 6: [useChat6, Transport6], 7: [useChat7, Transport7] };
const KEPT = [
  { id: "question", role: "user", parts: [{ type: "text", text: "hi" }] },
  { id: "answer", role: "assistant", parts: [{ type: "text", text: "Hello." }] },
];

globalThis.resumed = { errors: [], finished: [] };

function Resumed({ version }) {
  const [useChat, Transport] = VERSIONS[version];
  const { messages, status, error } = useChat({
    id: `chat-${version}`,
    messages: KEPT,
    resume: true,
    transport: new Transport({
      api: `${import.meta.env.VITE_RELAY}/api/chat`,
      headers: { authorization: "Bearer a caller's key" },
    }),
    onError: ({ message }) => resumed.errors.push(message),
    onFinish: () => resumed.finished.push(version),
  });
  return (
    <p id={`chat-${version}`} data-status={status} data-error={error?.message}>
      {messages.map(({ role, parts }) => `${role}: ${parts.map(({ text }) => text).join("")}\n`)}
    </p>
  );
}

export function Resume() {
  return Object.keys(VERSIONS).map((version) => <Resumed key={version} version={version} />);
}
