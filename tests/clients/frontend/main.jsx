// One page for all components that the tests render: `#Name` selects one. Answer.jsx, Ask.jsx, Chat.jsx and the with-….js
// are those of the documentation, with the tested relay's URL.
import { StrictMode, version } from "react";
import { createRoot } from "react-dom/client";

import { Answer } from "./Answer.jsx";
import { Ask } from "./Ask.jsx";
import { Chat } from "./Chat.jsx";
import { AskOnMount, Probe } from "./probe.jsx";
import { Resume } from "./resume.jsx";
import * as streamModule from "./ask.js";
import * as withEventSource from "./with-event-source.js";
import * as withFetch from "./with-fetch.js";
import * as withOpenAI from "./with-openai.js";

const COMPONENTS = { Answer, Ask, AskOnMount, Chat, Probe, Resume };

globalThis.frontend = { version, streamModule, withEventSource, withFetch, withOpenAI };

const Component = COMPONENTS[location.hash.slice(1)];
if (Component) {
  const root = createRoot(document.getElementById("root"));
  root.render(
    <StrictMode>
      <Component />
    </StrictMode>,
  );
  frontend.unmount = () => root.unmount();
}
