"""Bodies of any shape, at each route: an answer, or an error below 500 that names the field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.in_process_function import Answer, InProcessFunction
from tests.fuzz.targets.journeys import check_answer
from tests.fuzz.targets.upstream import small_answer

texts = st.text(st.characters() | st.sampled_from("\0\ud800\udfff\u2028"), max_size=8)

# JSON texts that json.dumps would not write, inserted as they are.
RAW = {
    "1e999": "1e999",
    "-1e999": "-1e999",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "400 digits": "9" * 400,
    "4301 digits": "9" * 4301,  # one more than int() accepts
    "half a pair": '"\\ud83d"',
    "the other half": '"\\ude00"',
    "a NUL": '"\\u0000"',
    "deep lists": "[" * 60 + "]" * 60,
    "deep objects": '{"a":' * 60 + "1" + "}" * 60,
    "deeper than Python goes": "[" * 90_000 + "]" * 90_000,
    "the same name twice": '{"a":1,"a":2}',
}
NO_JSON = ("NaN", "Infinity")  # RFC 8259, section 6
NEVER_READ = (*NO_JSON, "4301 digits", "deeper than Python goes")

odd_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def sometimes(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A valid value of a field, or any other value."""
    return st.one_of(right, right, odd_values)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these fields, and sometimes another one."""
    known = st.fixed_dictionaries({}, optional={name: sometimes(value) for name, value in fields.items()})
    return st.builds(
        lambda one, other: {**other, **one}, known, st.dictionaries(texts, odd_values, max_size=1)
    )


roles = st.sampled_from(["system", "user", "assistant", "tool"])
messages = st.lists(objects(role=roles, content=texts), max_size=3)
common = {
    "model": st.just("m") | texts,
    "stream": st.booleans(),
    "n": st.integers(-1, 130),
    "max_tokens": st.integers(),
    "max_output_tokens": st.integers(),
    "stream_options": objects(include_usage=st.booleans()),
    "tools": st.lists(objects(type=texts, model=texts), max_size=2),
    "models": st.lists(texts, max_size=2),
    "fallbacks": odd_values,
}
parts = objects(
    type=st.sampled_from(
        ["text", "file", "image", "reasoning", "step-start", "tool-x", "dynamic-tool", "data-x"]
    ),
    text=texts,
    url=st.sampled_from(
        ["data:image/png;base64,AA==", "https://x/y", "blob:x", "data:audio/wav;base64,AA=="]
    ),
    mediaType=st.sampled_from(["image/png", "audio/wav", "application/pdf", "text/plain"]),
    toolCallId=texts,
    toolName=texts,
    state=st.sampled_from(["output-available", "output-error", "output-denied", "input-available"]),
    input=odd_values,
    output=odd_values,
    errorText=texts,
)
ui_messages = st.lists(objects(id=texts, role=roles, parts=st.lists(parts, max_size=3)), max_size=3)
BODIES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "/v1/chat/completions": objects(**common, messages=messages),
    "/v1/responses": objects(
        **common,
        input=texts | st.lists(objects(role=roles), max_size=2),
        background=st.booleans(),
        prompt=odd_values,
    ),
    "/chatCompletion": objects(**common, messages=messages),
    "/api/chat": objects(**common, id=texts, messages=ui_messages, trigger=texts),
}
GOOD: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/responses": {"model": "m", "input": "Hi"},
    "/chatCompletion": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "/api/chat": {"model": "m", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]},
}

each_route = pytest.mark.parametrize("path", BODIES)


@pytest.fixture(scope="module")
def function() -> Iterator[InProcessFunction]:
    made = InProcessFunction(
        small_answer,
        AUTH_MODE="none",
        ALLOWED_MODELS="m,gpt-*",
        FORBIDDEN_FIELDS="x*",
        ALLOWED_FIELDS="models,fallbacks,tools.*",
        MAX_OUTPUT_TOKENS="1000",
    )
    yield made
    made.close()


def answered(function: InProcessFunction, path: str, body: str) -> Answer:
    answer = function.answer({"httpMethod": "POST", "path": path, "body": body})
    check_answer(answer)
    return answer


@each_route
@given(data=st.data())
def test_every_body_is_accepted_or_refused_with_the_name_of_a_field(
    function: InProcessFunction, path: str, data: st.DataObject
) -> None:
    body = data.draw(BODIES[path])
    answer = answered(function, path, json.dumps(body))
    if answer.status == 200:
        assert answer.transcript is not None
        return
    assert answer.status == 400
    param = answer.error["param"]
    assert isinstance(param, str), answer.error
    field = param.partition("[")[0].partition(".")[0]
    assert field in body or field in ("messages", "input", "model", "n") or param in body
    assert f"`{param}" in answer.error["message"] or field in answer.error["message"]


@each_route
@given(value=odd_values)
def test_any_json_value_that_is_not_an_object_is_a_400(
    function: InProcessFunction, path: str, value: Any
) -> None:
    answer = answered(function, path, json.dumps(value))
    assert answer.status == 400


@pytest.mark.parametrize("raw", RAW)
def test_json_that_only_some_parsers_accept_is_not_sent_upstream(
    function: InProcessFunction, raw: str
) -> None:
    for path in BODIES:
        body = json.dumps(GOOD[path])[:-1] + f',"temperature":{RAW[raw]}}}'
        answer = answered(function, path, body)  # its upstream accepts only strict JSON
        if raw in NEVER_READ or raw.endswith("1e999"):
            assert (answer.status, answer.error["code"]) == (400, "invalid_json")
        else:
            assert answer.status == 200


@each_route
def test_every_field_of_a_request_may_contain_any_json(function: InProcessFunction, path: str) -> None:
    good = {field: json.dumps(value) for field, value in GOOD[path].items()}
    for name in (*common, "messages", "input", "prompt"):
        for raw in RAW.values():
            spelled = (f'"{field}":{value}' for field, value in (good | {name: raw}).items())
            answered(function, path, "{" + ",".join(spelled) + "}")


@each_route
def test_if_a_name_is_repeated_the_checked_value_is_the_one_that_is_sent(
    function: InProcessFunction, path: str
) -> None:
    body = json.dumps(GOOD[path])[:-1]
    assert answered(function, path, f'{body},"model":"forbidden"}}').error["param"] == "model"
    answer = answered(function, path, f'{{"model":"forbidden",{body[1:]}}}')
    assert answer.transcript is not None
    assert answer.transcript.document["request"]["model"] == "m"


@each_route
def test_a_missing_field_is_either_named_or_not_required(function: InProcessFunction, path: str) -> None:
    for name in GOOD[path]:
        answer = answered(function, path, json.dumps({k: v for k, v in GOOD[path].items() if k != name}))
        assert answer.status == 200 or answer.error["param"] == name
