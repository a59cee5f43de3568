// Lets the tests control the hooks: `probe` has the functions of both and counts React's renders.
import { useEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";

import { useStreamingMutation, useStreamingQuery } from "./stream-hooks.js";

const URL_ = `${import.meta.env.VITE_RELAY}/chatCompletion`;
const headers = { authorization: "Bearer a caller's key" };

globalThis.probe = { rendered: [], functions: new Set() };

function Shown({ id, state: { value, isStreaming, error } }) {
  return (
    <p id={id} data-streaming={isStreaming} data-error={error?.name === "StreamError" ? error.code : error?.name} data-status={error?.status}>
      {value}
    </p>
  );
}

export function Probe() {
  const [{ query = "", ...options }, render] = useState({});
  const [queried, trigger, abort] = useStreamingQuery(`${URL_}${query}`, { headers: { ...headers }, ...options });
  const [mutated, mutate] = useStreamingMutation(URL_, { headers: async () => headers, ...options });
  useEffect(() => {
    Object.assign(probe, { trigger, abort, mutate, render: (given) => flushSync(() => render(given)) });
    for (const one of [trigger, abort, mutate]) probe.functions.add(one);
    probe.rendered.push(queried.value);
  });
  return (
    <>
      <Shown id="query" state={queried} />
      <Shown id="mutation" state={mutated} />
    </>
  );
}

export function AskOnMount() {
  const model = useRef(new URLSearchParams(location.search).get("model"));
  const [queried, trigger] = useStreamingQuery(URL_, { headers });
  useEffect(() => {
    trigger({ message: "hi", model: model.current });
  }, [trigger]);
  return <Shown id="query" state={queried} />;
}
