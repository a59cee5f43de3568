"""The cost in the usage that a caller gets, as OpenRouter has it: `usage.cost`, in US dollars."""

from __future__ import annotations

import json
import re
from typing import Any

from chat_stream.dialects.chat_completions.events import usage_in
from chat_stream.json_values import list_in, object_in, parsed_object
from chat_stream.sse import BOM, ServerSentEvent
from rendering.renderer import CostSoFar

_DATA = re.compile(rb"data(?:[:\r\n]|$)")


def event_with_cost(event: ServerSentEvent, cost: CostSoFar) -> bytes:
    """The event's bytes with the cost in its usage, or as they came.

    They stay if the upstream has put a cost there itself, or if the usage is only that of an answer so far:
    some upstreams report it in every chunk.
    """
    document = parsed_object(event.data)
    choices = list_in(document.get("choices"))
    if choices and not any(object_in(choice).get("finish_reason") for choice in choices):
        return event.raw
    data = document_with_cost(document, cost)
    if data is None:
        return event.raw
    lines = event.raw.removeprefix(BOM).splitlines(keepends=True)  # of bytes: only at CR, LF and CRLF
    first, *others = (place for place, line in enumerate(lines) if _DATA.match(line))
    last = lines[others[-1] if others else first]
    lines[first] = b"data: " + data + last[len(last.rstrip(b"\r\n")) :]
    return b"".join(line for place, line in enumerate(lines) if place not in others)


def document_with_cost(document: dict[str, Any], cost: CostSoFar) -> bytes | None:
    """The JSON of an answer, a chunk or a Responses event, with the cost in its usage.

    None if the usage stays as it is.
    """
    usage = usage_in(object_in(document.get("response")) or document)
    if usage is None or usage.get("cost") is not None:
        return None
    known = cost()
    usage["cost"] = None if known is None else float(known.usd)
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (ValueError, RecursionError):  # it has a NaN, or is nested too deeply for JSON
        return None
