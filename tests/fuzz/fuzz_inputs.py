"""The inputs of a fuzz run, for each target: seeds, a dictionary, and structural mutations of their JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from random import Random

from tests.fuzz.json_mutation import NAMES, NASTY, mutated_json
from tests.fuzz.targets.requests import BASE64, CALLER_KEY, GARBLED, KEYS, REST_API, seed
from tests.fuzz.targets.streams import IN_RUNS
from tests.fuzz.targets.tokens import AS_IT_IS, AUDIENCE, SIGNED, claims
from tests.support.conformance_cases import sse_vectors, stream_cases
from tests.support.project import PROJECT

EVENTS = PROJECT / "events"

_DATA_LINE = re.compile(rb"^data: ?(.+)$", re.MULTILINE)

Span = tuple[int, int]  # the start and end of a JSON document within an input


# -- finding the JSON --------------------------------------------------------------------------------------


def _whole(data: bytes, random: Random) -> Span | None:
    return 0, len(data)


def _behind_first_byte(data: bytes, random: Random) -> Span | None:
    return 1, len(data)


def _body_of_request(data: bytes, random: Random) -> Span | None:
    end_of_head = data.find(b"\n\n")
    return None if end_of_head < 0 else (end_of_head + 2, len(data))


def _line_of_token(data: bytes, random: Random) -> Span | None:
    end_of_header = data.find(b"\n")
    if end_of_header < 0 or random.random() < 0.3:
        return 1, end_of_header if end_of_header > 0 else len(data)
    return end_of_header + 1, len(data)


def _data_line(data: bytes, random: Random) -> Span | None:
    lines = list(_DATA_LINE.finditer(data))
    return random.choice(lines).span(1) if lines else None


def _data_line_or_document(data: bytes, random: Random) -> Span | None:
    return _data_line(data, random) or (3, len(data))


_JSON_IN: Mapping[str, Callable[[bytes, Random], Span | None]] = {
    "events": _whole,
    "requests": _body_of_request,
    "relay": _data_line_or_document,
    "sse": _data_line,
    "decoders": _data_line,
    "tokens": _line_of_token,
    "documents": _behind_first_byte,
}


def mutated(target: str, data: bytes, max_bytes: int, random: Random) -> bytes | None:
    """The input with its JSON mutated, or an event moved, removed or repeated; None if it has no JSON."""
    if target in ("sse", "decoders", "relay") and random.random() < 0.3:
        return _with_other_lines(data, random)[:max_bytes]
    span = _JSON_IN[target](data, random)
    if span is None:
        return None
    start, end = span
    changed = mutated_json(data[start:end].decode("utf-8", "surrogateescape"), random, max_bytes)
    if changed is None:
        return None
    return (data[:start] + changed.encode("utf-8", "surrogatepass") + data[end:])[:max_bytes]


def _with_other_lines(data: bytes, random: Random) -> bytes:
    """The stream with two events swapped, one removed, or one repeated."""
    events = data.split(b"\n\n")
    place, other = random.randrange(len(events)), random.randrange(len(events))
    match random.randrange(4):
        case 0:
            events[place], events[other] = events[other], events[place]
        case 1:
            del events[place]
        case 2:
            events.insert(other, events[place])
        case 3:
            events[place:place] = [events[place]] * random.choice((1, 2, 4, 100))
    return random.choice((b"\n\n", b"\n\n", b"\n\n", b"\r\n\r\n", b"\n")).join(events)


# -- seeds -------------------------------------------------------------------------------------------------


def seeds(target: str, max_bytes: int) -> list[bytes]:
    """The seeds of a target that are no longer than `max_bytes`."""
    return [data for data in _SEEDS[target]() if len(data) <= max_bytes]


def _event_seeds() -> Iterator[bytes]:
    for path in sorted(EVENTS.glob("*.json")):
        event = path.read_bytes()
        yield event
        # The parity of the length selects the AUTH_MODE.
        yield event + b" "
        document = json.loads(event)
        document["headers"] = {**document.get("headers", {}), "authorization": f"Bearer {CALLER_KEY}"}
        for space in ("", " "):
            yield json.dumps(document).encode() + space.encode()
            yield (
                json.dumps({**document, "rawPath": "/nowhere", "path": "/nowhere"}).encode() + space.encode()
            )
            yield json.dumps({**document, "body": "x" * 5000}).encode() + space.encode()
    for value in (
        "null",
        "[]",
        "0",
        '""',
        "{}",
        '{"version":"2.0"}',
        '{"httpMethod":"PUT","path":"/health"}',
    ):
        yield value.encode()


_UI_MESSAGES = {
    "id": "chat-1",
    "messages": [
        {"id": "1", "role": "system", "parts": [{"type": "text", "text": "Be brief."}]},
        {
            "id": "2",
            "role": "user",
            "parts": [
                {"type": "text", "text": "Why?"},
                {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA=="},
                {"type": "file", "mediaType": "audio/wav", "url": "data:audio/wav;base64,AA=="},
                {"type": "file", "mediaType": "application/pdf", "url": "data:application/pdf;base64,AA=="},
            ],
        },
        {
            "id": "3",
            "role": "assistant",
            "parts": [
                {"type": "step-start"},
                {"type": "reasoning", "text": "…"},
                {"type": "text", "text": "I look."},
                {
                    "type": "tool-look",
                    "toolCallId": "c1",
                    "state": "output-available",
                    "input": {"a": 1},
                    "output": {"b": 2},
                },
                {
                    "type": "dynamic-tool",
                    "toolName": "f",
                    "toolCallId": "c2",
                    "state": "output-error",
                    "rawInput": "{",
                    "errorText": "no",
                },
            ],
        },
    ],
    "trigger": "submit-message",
    "model": "m",
}

_BODIES: tuple[tuple[str, object], ...] = (
    (
        "POST /v1/chat/completions",
        {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]},
    ),
    (
        "POST /chat/completions/",
        {
            "model": "gpt-4-x-mini",
            "n": 2,
            "temperature": 0.5,
            "max_tokens": 50,
            "stream_options": {"include_usage": True},
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
            "messages": [
                {"role": "system", "content": "é😀"},
                {"role": "user", "content": [{"type": "text"}]},
            ],
        },
    ),
    ("POST /v1/responses", {"model": "m", "stream": True, "input": "Hi", "max_output_tokens": 10}),
    (
        "POST /responses",
        {"input": [{"role": "user", "content": "Hi"}], "instructions": "x", "prompt": {"id": "p"}},
    ),
    ("POST /v1/responses", {"previous_response_id": "resp_1", "background": True, "stream": True}),
    ("POST /api/chat", _UI_MESSAGES),
    ("POST /chatCompletion", {"messages": [{"role": "user", "content": "Hi"}], "model": "m"}),
    ("POST /chatCompletion", {"messages": [], "models": ["m", "x"], "fallbacks": [{"m": ["x"]}]}),
)


def _request_seeds() -> Iterator[bytes]:
    key = f"\nauthorization: Bearer {CALLER_KEY}"
    bodies = [(line, json.dumps(body)) for line, body in _BODIES]
    for line, body in bodies:
        for flags in (0, REST_API, BASE64, KEYS):
            yield seed(f"{line}{key}\ncontent-type: application/json\n\n{body}", flags)
        yield seed(f"{line}\naccept: text/event-stream\n\n{body}", KEYS)
    line, body = bodies[0]
    yield seed(f"{line}\nx-api-key: {CALLER_KEY}\n\n{body}", KEYS)
    yield seed(f"{line}\n\n{body}", GARBLED)
    yield seed(f"{line}\n\n{body[:-1]}", 0)
    yield seed(f"{line}\n\n{'x' * 5000}", 0)
    yield seed(f"{line}\n\n" + "[" * 3000, 0)
    yield seed(f"PUT /v1/responses{key}\n\n{body}", KEYS)
    yield seed("GET /chatCompletion?message=Why%20so%3F&model=m\naccept: text/event-stream\n\n", 0)
    yield seed("GET /chatCompletion?message=h%C3%A9llo+you&message=&x=%ff%00\n\n", REST_API)
    for line in (
        "GET /health",
        "HEAD /health/",
        "GET /",
        "HEAD /",
        'GET /stream.js\nif-none-match: W/"x", *',
        "GET /stream-hooks.js",
        "GET /chatCompletion?message=hi\naccept: text/event-stream\nlast-event-id: r-1",
        "DELETE //health//",
        "GET /nowhere?x",
        "OPTIONS /api/chat",
    ):
        yield seed(line, 0)
        yield seed(line, REST_API)


def _streams() -> Iterator[bytes]:
    for case in stream_cases():
        yield case.body
    for vector in sse_vectors():
        yield vector.body


def _decoded_streams() -> Iterator[bytes]:
    yield from _steered(_streams, 0, 1, 70)()
    for padding in ("", ',"obfuscation":"x"'):
        for texts in (("Hi", " ", "\\n", "\\u00e9", "é"), ("a", "\\ud83d", "\\ude00", "b", "")):
            events = [
                f'data: {{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]{padding}}}\n\n'
                for text in ("a", "b", *texts, "c")
            ]
            yield bytes([IN_RUNS]) + "".join(events).encode()


def _documents() -> Iterator[bytes]:
    for case in stream_cases():
        if case.body.startswith(b"{"):
            yield case.body
        for line in _DATA_LINE.finditer(case.body):
            if b'"response.completed"' in line[1] or b'"error"' in line[1] or b'"usage":{' in line[1]:
                yield line[1]
                response = _response_in(line[1])
                if response:
                    yield response
    yield json.dumps(
        {
            "id": "c",
            "object": "chat.completion",
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"content": "Hi", "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"total_tokens": 1},
        }
    ).encode()
    for text in (
        '{"error":{"message":"m","type":"t","code":"c"}}',
        '[{"error":"x"}]',
        '{"detail":"no"}',
        "[]",
        "x",
    ):
        yield text.encode()


def _response_in(data: bytes) -> bytes | None:
    try:
        response = json.loads(data).get("response")
    except ValueError:
        return None
    return json.dumps(response).encode() if response else None


def _relay_seeds() -> Iterator[bytes]:
    """All streams and documents, each with one of the six formats, and all statuses."""
    for number, body in enumerate((*_streams(), *_documents())):
        yield bytes([number % 6, number % 3 * 16, number % 2 * 20]) + body
    for status in range(16):
        yield bytes([0, status, 64]) + b'{"error":{"message":"no","code":"c"}}'
        yield bytes([2, status, 64]) + b"Wed, 21 Oct 2026 07:28:00 GMT"


def _token_seeds() -> Iterator[bytes]:
    header = {"alg": "EdDSA", "kid": "k1", "typ": "JWT"}
    for changed in (header, {"alg": "EdDSA"}, {**header, "typ": "at+jwt"}, {**header, "alg": "none"}):
        for payload in (claims(), {**claims(), "aud": AUDIENCE}, {**claims(), "exp": 1}):
            for flags in (0, SIGNED):
                yield bytes([flags]) + f"{json.dumps(changed)}\n{json.dumps(payload)}".encode()
    for bearer in ("Bearer a.b.c", "Bearer", "bearer  ..", "Basic eA==", ""):
        yield bytes([AS_IT_IS]) + bearer.encode()


def _steered(bodies: Callable[[], Iterator[bytes]], *steers: int) -> Callable[[], Iterator[bytes]]:
    return lambda: (bytes([steer]) + body for body in bodies() for steer in steers)


_SEEDS: Mapping[str, Callable[[], Iterator[bytes]]] = {
    "events": _event_seeds,
    "requests": _request_seeds,
    "relay": _relay_seeds,
    "sse": _steered(_streams, 7, 130, 255),
    "decoders": _decoded_streams,
    "tokens": _token_seeds,
    "documents": _steered(_documents, 0, 1),
}


# -- the dictionary ----------------------------------------------------------------------------------------

_WORDS = (
    "POST ", "GET ", "HEAD ", "/v1/chat/completions", "/v1/responses", "/api/chat", "/chatCompletion",
    "/health", "?message=", "&model=", "%00", "%ff", "%", "+", "\n\n", "\r\n\r\n", "\r", "\n", "data: ",
    "event: error\n", "event: ", "id: 1\n", "retry: ", ": \n\n", "data: [DONE]\n\n", "\ufeff", "\0",
    "authorization: Bearer ", f"authorization: Bearer {CALLER_KEY}\n", f"x-api-key: {CALLER_KEY}\n",
    "accept: text/event-stream\n", "last-event-id: 1\n", "if-none-match: ", "/stream.js", "2.0",
)  # fmt: skip


def dictionary() -> str:
    """The tokens in the format of libFuzzer's `-dict`."""
    tokens = [*_WORDS, *(f'"{name}":' for name in NAMES), *(text for text in NASTY if len(text) < 60)]
    return "".join(f'"{_escaped(token)}"\n' for token in tokens)


def _escaped(token: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token.encode("utf-8", "surrogatepass"))
