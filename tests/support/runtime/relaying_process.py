"""Relays one answer: `python -m tests.support.runtime.relaying_process URL FORMAT DEADLINE_S`.

Prints the cost as JSON; see `endless_answers.Cost`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from chat_stream.dialects.dialect import CHAT_COMPLETIONS, responses_dialect
from chat_stream.transcripts.content import reduced
from lambda_stream.error_report import ErrorReport
from lambda_stream.response_stream import ResponseStream
from relay import Relay
from request.chat_request import ChatRequest
from settings import Settings
from tests.support.process_costs import peak_memory_mb
from upstream.client import Upstream


class _Nowhere:
    """A caller who accepts everything at once."""

    def open(self, prelude: Mapping[str, Any]) -> None: ...

    def write(self, data: bytes, give_up_at: float) -> None: ...

    def end(self, error: ErrorReport | None, give_up_at: float) -> None: ...

    def settle(self, give_up_at: float) -> None: ...


def main(url: str, fmt: Any, deadline_s: float) -> None:
    """Relay one answer and print its cost and transcript."""
    reserve_s = deadline_s / 4
    settings = Settings(openai_base_url=url, deadline_reserve_s=reserve_s, idle_timeout_s=900)
    dialect = responses_dialect() if fmt.startswith("responses") else CHAT_COMPLETIONS
    recorded = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "parameters": {}}
    chat = ChatRequest("/", b'{"model":"m"}', fmt.removesuffix("-document"), False, 1, recorded, dialect)
    started_at = time.monotonic()
    relay = Relay(
        chat._replace(answer_format="json") if fmt.endswith("-document") else chat,
        ResponseStream(_Nowhere()),
        Upstream(settings),
        request_id="r-1",
        headers=None,
        caller="web",
        remaining_s=deadline_s + reserve_s,
        on_answer=lambda: None,
    )
    relay.run()
    transcript = reduced(relay.transcript, "full")
    event = transcript.to_json()
    late_s = time.monotonic() - started_at - deadline_s
    cost = {"peak_mb": peak_memory_mb(os.getpid()), "late_s": late_s}
    document = json.loads(event)
    for choice in document["response"]["choices"]:  # the length is enough: megabytes of text need not be sent
        choice["content"] = len(choice["content"])
    document["response"]["choices"] = document["response"]["choices"][:1]
    print(json.dumps({**cost, "transcript": document}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
