"""Requests that fail in every possible way, and a search for secrets in all that they leave."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer, event

OPENAI_KEY = "sk-the-relays-own-key-1234567890"
CALLER_KEY = "web-key-a1b2c3d4e5f6a7b8"
WRONG_KEY = "wrong-key-99887766554433"
TOOL_TOKEN = "mcp-token-5544332211"
PROMPT = "the plan is to meet at the old mill"
ANSWER = "then bring the blue lantern along"
SECRETS = (OPENAI_KEY, CALLER_KEY, WRONG_KEY, TOOL_TOKEN)
LEAKY_MESSAGE = f"{OPENAI_KEY} refused: {PROMPT}"

REPLIES: dict[str, Reply] = {
    "refused": Reply.json({"error": {"message": LEAKY_MESSAGE, "code": PROMPT, "type": OPENAI_KEY}}, 400),
    "key-refused": Reply.json({"error": {"message": LEAKY_MESSAGE}}, 401),
    "forbidden": Reply.json({"detail": LEAKY_MESSAGE}, 403),
    "limited": Reply.json(
        {"error": {"message": LEAKY_MESSAGE}}, 429, x_request_id=OPENAI_KEY, retry_after="0"
    ),
    "fault": Reply.json({"error": {"message": LEAKY_MESSAGE}}, 500),
    "page": Reply([f"<pre>{LEAKY_MESSAGE}".encode()], 200, {"content-type": "text/html"}),
    "type": Reply([b"x"], 200, {"content-type": LEAKY_MESSAGE}),
    "encoding": Reply([b"x"], 200, {"content-type": "text/event-stream", "content-encoding": LEAKY_MESSAGE}),
    "moved": Reply([], 302, {"location": f"https://{OPENAI_KEY}.example"}),
    "empty": Reply([]),
    "closed": Reply([], ends="reset"),
    "cut": Reply([event(ANSWER), 0.05], ends="cut"),
    "reset": Reply([event(ANSWER), 0.05], ends="reset"),
    "silent": Reply([event(ANSWER)], ends="silent"),
    "error-first": Reply([event(error={"message": LEAKY_MESSAGE, "code": PROMPT})]),
    "error-later": Reply([event(ANSWER), 0.05, event(error={"message": LEAKY_MESSAGE, "code": PROMPT})]),
    "not-json": Reply([f"data: {LEAKY_MESSAGE}\n\n".encode()]),
}


def requests() -> list[dict[str, Any]]:
    """Requests that fail; the first two of each reply reach the upstream, and use all routes in turn."""
    right = {"x-api-key": CALLER_KEY}
    messages = [{"role": "user", "content": PROMPT}]

    def post(path: str, headers: dict[str, str], body: Any, **options: Any) -> dict[str, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return {"method": "POST", "url": path, "headers": headers, "content": content, **options}

    tools = [{"type": "mcp", "server_url": "https://tools.example", "authorization": TOOL_TOKEN}]
    made = []
    for number, model in enumerate(REPLIES):
        chat = {"model": model, "messages": messages, "tools": tools, "api_key": TOOL_TOKEN}
        ui = {"model": model, "messages": [{"role": "user", "parts": [{"type": "text", "text": PROMPT}]}]}
        routes = [
            post("/v1/chat/completions", right, {**chat, "stream": True}),
            post("/v1/chat/completions", right, chat),
            post("/chatCompletion", right, chat),
            post("/v1/responses", right, {"model": model, "input": PROMPT, "tools": tools, "stream": True}),
            post("/api/chat", right, ui),
        ]
        made += [routes[number % 5], routes[(number + 2) % 5]]
    broken = f'{{"messages": [{{"role": "user", "content": "{PROMPT} {CALLER_KEY}"'.encode()
    body = {"model": "m", "messages": messages}
    made += [
        post("/v1/chat/completions", {"authorization": f"Bearer {WRONG_KEY}"}, body),
        post("/v1/chat/completions", {"x-api-key": WRONG_KEY}, body),
        post("/v1/chat/completions", {"x-api-key": f"{CALLER_KEY} {WRONG_KEY}"}, body),
        post("/v1/chat/completions", {}, body, params={"api_key": CALLER_KEY}),
        post("/v1/chat/completions", {}, {**body, "api_key": CALLER_KEY}),
        post(f"/{CALLER_KEY}/{WRONG_KEY}", right, body),
        post("/v1/chat/completions", right, broken),
        post("/v1/chat/completions", right, broken + b"\xff"),
        post("/v1/chat/completions", right, f'"{PROMPT}"'.encode()),
        post("/v1/chat/completions", right, {**body, "n": PROMPT}),
        post("/v1/chat/completions", right, {**body, "model": [PROMPT]}),
        post("/v1/chat/completions", right, {**body, "stream": PROMPT}),
        post("/v1/chat/completions", right, {**body, "messages": [PROMPT]}),
        post("/api/chat", right, {"messages": [{"role": "user", "parts": [PROMPT]}]}),
        post("/v1/chat/completions", right, {**body, "model": PROMPT}),
    ]
    return made


def answer_to(client: httpx.Client, request: dict[str, Any]) -> tuple[httpx.Headers, bytes]:
    """The headers, and the body as far as it arrived: some break off."""
    body = b""
    with client.stream(**request) as response, contextlib.suppress(httpx.RemoteProtocolError):
        for chunk in response.iter_raw():
            body += chunk
    return response.headers, body


def found_in(text: str, words: str) -> list[str]:
    """The text around the first occurrences of these words."""
    return [text[max(0, m.start() - 200) : m.end() + 20] for m in re.finditer(re.escape(words), text)][:3]


def log_of(stack: LocalStack) -> str:
    """What the functions logged, with every field of a record."""
    return "".join(path.read_text(encoding="utf-8") for path in stack.log_folder.iterdir())


def tables_of(stack: LocalStack) -> str:
    database = stack.client("dynamodb")
    names = database.list_tables()["TableNames"]
    assert names
    items = [database.scan(TableName=name)["Items"] for name in names]
    database.close()
    return json.dumps(items)


def test_failing_requests_leave_no_secret_behind(replay: ReplayUpstream) -> None:
    for model, reply in REPLIES.items():
        replay.answer(model, reply)
    settings = {
        "OPENAI_BASE_URL": replay.url,
        "OPENAI_API_KEY": OPENAI_KEY,
        "CALLER_KEYS": f"web:{hashlib.sha256(CALLER_KEY.encode()).hexdigest()}",
        "REQUESTS_PER_MINUTE": "1000",
        "TOKENS_PER_DAY": "1000000000",
        "ALLOWED_FIELDS": "api_key,tools.mcp",
        "IDLE_TIMEOUT_S": "0.5",
        "UPSTREAM_RETRIES": "1",
        "LOG_LEVEL": "DEBUG",
    }
    with (
        LocalStack(settings) as stack,
        httpx.Client(base_url=stack.url, timeout=30, trust_env=False) as client,
    ):
        replay.answer("good", Reply(answer(ANSWER)))
        query = {"message": PROMPT, "model": "good"}
        good = {
            "method": "GET",
            "url": "/chatCompletion",
            "params": query,
            "headers": {"x-api-key": CALLER_KEY},
        }
        made = [*requests(), good]
        with ThreadPoolExecutor(5) as callers:
            answers = list(callers.map(lambda request: answer_to(client, request), made))
        ids = [headers["x-relay-request-id"] for headers, _ in answers[: 2 * len(REPLIES)]]
        with TranscriptQueue(stack.endpoint, stack.queue_url("transcripts")) as queue:
            transcripts = [queue.get(request_id) for request_id in ids]
        places = {
            "answers": str([(headers.raw, body) for headers, body in answers]),
            "transcripts": json.dumps(transcripts),
            "tables": tables_of(stack),
            "archive": "".join(path.read_text() for path in stack.archive_folder.rglob("*.jsonl")),
            "terminal": "\n".join(stack.output),
            "log": (log := log_of(stack)),
        }
    assert '"level": "DEBUG"' in log
    found = [(name, found_in(text, secret)) for secret in SECRETS for name, text in places.items()]
    assert [(name, around) for name, around in found if around] == []
    for words in (PROMPT, ANSWER):
        assert found_in(log, words) == []
        assert found_in(places["terminal"], words) == []
        assert found_in(places["tables"], words) == []
    assert all(transcript["outcome"] in ("failed", "truncated") for transcript in transcripts)
    assert found_in(places["transcripts"], PROMPT), "the search must find what is there"
    assert found_in(places["archive"], PROMPT), "the archive must not be empty"
