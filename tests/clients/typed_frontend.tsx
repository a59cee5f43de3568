// A frontend in TypeScript: valid code and, after `@ts-expect-error`, code that the types reject.
import { StreamError, streamText, type StreamOptions } from "delta-relay/stream.js";
import { useStreamingMutation, useStreamingQuery } from "delta-relay/stream-hooks.js";

export async function read(url: string, signal: AbortSignal): Promise<string> {
  const options: StreamOptions = {
    messages: [{ role: "user", content: "hi" }],
    headers: async () => ({ authorization: "Bearer token" }),
    signal,
    onDelta: (delta, text) => console.log(delta.length, text.length),
  };
  const answer = streamText(url, options);
  try {
    for await (const delta of answer) console.log(delta.toUpperCase());
  } catch (error) {
    if (error instanceof StreamError) console.log(error.code, error.status?.toFixed(), error.text.length);
  }
  // @ts-expect-error: there is no such option
  streamText(url, { message: "hi" });
  // @ts-expect-error: deltas are text
  for await (const delta of answer) delta.toFixed();
  return (await answer.finished).text;
}

export function Question() {
  const [{ value, isStreaming, error, finishReason }, trigger, abort] = useStreamingQuery("/chatCompletion", {
    headers: { "x-api-key": "key" },
  });
  const [, ask] = useStreamingMutation("/chatCompletion");
  // @ts-expect-error: the question is an argument of `trigger`
  useStreamingQuery("/chatCompletion", { messages: [] });
  return (
    <button
      disabled={isStreaming}
      onClick={() => {
        void trigger({ message: "hi", model: undefined }).then((state) => state.value.length);
        void ask({ messages: [] });
        abort();
        // @ts-expect-error: it has no argument
        abort("why");
      }}
    >
      {value} {error?.message} {finishReason === "length" && "…"}
    </button>
  );
}
