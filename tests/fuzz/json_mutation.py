"""Structural mutations of JSON documents, which mutations of bytes would hardly ever produce."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

# JSON texts, some of them invalid, to put in place of a value. Most of them Python's json never writes.
NASTY = (
    "1e999", "-1e999", "1e-999", "NaN", "-Infinity", "9" * 400, "9" * 4300, "9" * 4301, "-0", "0.1e1",
    "9223372036854775808", "18446744073709551616", "2048", "-1", "0", "1", "true", "false", "null", "[]",
    "{}", "1.5",
    '""', '"\\u0000"', '"\\ud83d"', '"\\ude00"', '"\\ud83d\\ude00"', '"\u2028"', '"\ufeff"', '"\\r\\n\\r\\n"',
    '"data: x\\n\\n"', '"[DONE]"', '"error"', '{"error":{"message":"m","code":401}}', '{"":0,"":1}',
    "[" * 40 + "]" * 40, '{"a":' * 40 + "1" + "}" * 40, "[" * 900 + "]" * 900, "[" * 3000 + "]" * 3000,
    "[[[", '{"a"', "{}{}", "tru",
)  # fmt: skip

# Names that have a meaning for the relay, to put in place of others.
NAMES = (
    "messages", "role", "content", "model", "stream", "stream_options", "include_usage", "n", "input",
    "prompt", "parts", "type", "text", "url", "mediaType", "toolCallId", "toolName", "state", "output",
    "tools", "models", "choices", "delta", "index", "message", "tool_calls", "function",
    "function_call", "arguments", "name", "id", "usage", "error", "code", "status", "finish_reason",
    "refusal", "reasoning", "audio", "logprobs", "response", "item", "item_id", "output_index",
    "content_index", "summary", "summary_index", "part", "incomplete_details", "reason", "object",
    "sequence_number", "annotations", "image", "custom", "call_id", "version", "requestContext", "http",
    "method", "rawPath", "rawQueryString", "headers", "body", "isBase64Encoded", "httpMethod", "path",
    "pathParameters", "proxy", "queryStringParameters", "max_tokens", "max_completion_tokens",
    "max_output_tokens", "fallbacks", "logit_bias", "background", "iss", "aud", "sub", "exp", "nbf",
    "iat", "alg", "kid", "typ", "crit", "jku", "jwk", "keys", "kty", "use", "key_ops", "crv", "x", "y",
    "d", "e",
)  # fmt: skip

_RAW = re.compile('"@raw:([0-9]+)@"')


def mutated_json(text: str, random: Random, max_bytes: int) -> str | None:
    """The document with one to three mutations; None if the text is not JSON."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    holder = [document]  # so that the document itself can be replaced like any other value
    raw: list[str] = []
    for _ in range(random.choice((1, 1, 2, 3))):
        places = list(_places(holder))
        random.choice(_CHANGES)(random, places, raw, max_bytes)
    try:
        spelled = json.dumps(holder[0], ensure_ascii=random.random() < 0.8)
    except (ValueError, RecursionError):
        return None
    # A marker of an earlier mutation may have become part of a text: keep it.
    return _RAW.sub(lambda match: dict(enumerate(raw)).get(int(match[1]), match[0]), spelled)


_Place = tuple[Any, Any]  # a list or an object, and an index or a name in it


def _places(root: list[Any]) -> Iterator[_Place]:
    pending: list[Any] = [root]
    while pending:
        holder = pending.pop()
        for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            yield holder, key
            if isinstance(value, dict | list):
                pending.append(value)


def _raw(raw: list[str], text: str) -> str:
    raw.append(text)
    return f"@raw:{len(raw) - 1}@"


def _put_nasty(random: Random, places: list[_Place], raw: list[str], max_bytes: int) -> None:
    holder, key = random.choice(places)
    holder[key] = _raw(raw, random.choice(NASTY))


def _put_other(random: Random, places: list[_Place], raw: list[str], max_bytes: int) -> None:
    """Copy a value from elsewhere in the document."""
    (holder, key), (other, name) = random.choice(places), random.choice(places)
    if not isinstance(other[name], dict | list) or len(places) < 200:
        holder[key] = json.loads(json.dumps(other[name]))


def _remove(random: Random, places: list[_Place], raw: list[str], max_bytes: int) -> None:
    holder, key = random.choice(places)
    if len(places) > 1 and holder is not places[0][0]:
        del holder[key]


def _add(random: Random, places: list[_Place], raw: list[str], max_bytes: int) -> None:
    holder, _ = random.choice(places)
    value = _raw(raw, random.choice(NASTY))
    if isinstance(holder, dict):
        holder[random.choice(NAMES)] = value
    elif holder is not places[0][0]:
        holder.insert(random.randint(0, len(holder)), value)


def _rename(random: Random, places: list[_Place], raw: list[str], max_bytes: int) -> None:
    holder, key = random.choice(places)
    if isinstance(holder, dict):
        holder[random.choice(NAMES)] = holder.pop(key)


def _repeat_name(random: Random, places: list[_Place], raw: list[str], max_bytes: int) -> None:
    """Repeat a name within an object, with another value."""
    holder, key = random.choice(places)
    if isinstance(holder, dict):
        value = json.dumps(holder[key])
        holder[key] = _raw(raw, f"{value},{json.dumps(key)}:{random.choice(NASTY)}")


def _wrap(random: Random, places: list[_Place], raw: list[str], max_bytes: int) -> None:
    holder, key = random.choice(places)
    holder[key] = [holder[key]] if random.random() < 0.5 else {random.choice(NAMES): holder[key]}


def _swell(random: Random, places: list[_Place], raw: list[str], max_bytes: int) -> None:
    """Repeat a value so often that processing it in more than linear time becomes visible."""
    holder, key = random.choice(places)
    if holder is places[0][0] or random.random() < 0.8:  # rarely, because such inputs are slow
        return
    value = holder[key]
    times = max(1, max_bytes // 2 // (len(json.dumps(value)) + 2))
    if isinstance(value, str):
        holder[key] = value * times
    elif isinstance(holder, list):
        holder[key:key] = [value] * times
    else:
        holder[key] = [value] * times


_CHANGES: tuple[Callable[[Random, list[_Place], list[str], int], None], ...] = (
    _put_nasty,
    _put_nasty,
    _put_nasty,
    _put_other,
    _remove,
    _remove,
    _add,
    _add,
    _rename,
    _repeat_name,
    _wrap,
    _swell,
)
