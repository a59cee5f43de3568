"""What an answer costs: in its transcript, and in the usage that callers get if they are to see it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chat_stream.dialects.dialect import responses_dialect
from tests.support.clients.ui_message_client import parts_in
from tests.support.runtime.relaying import RelayCall
from tests.support.upstreams.replay_upstream import DONE, Reply, answer, completion, event, usage_event

PRICES = {"replayed": {"input": 100, "output": 1_000, "tiers": {"flex": {"output": 10}}}}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}  # that of usage_event
USD = (1 * 100 + 2 * 1_000) / 1_000_000
COST = {"usd": USD, "priced_as": "MODEL_PRICES/replayed"}


def of_response(response_type: str, **fields: Any) -> bytes:
    response = {"id": "resp-1", "model": "replayed", "status": response_type.removeprefix("response.")}
    data = json.dumps({"type": response_type, "sequence_number": 1, "response": {**response, **fields}})
    return f"event: {response_type}\ndata: {data}\n\n".encode()


def costs_in(stream: bytes) -> list[Any]:
    """The `cost` of every usage in an event stream of either API."""
    documents = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: {")]
    usages = [document.get("usage") or document.get("response", {}).get("usage") for document in documents]
    return [usage.get("cost", "absent") for usage in usages if usage]


@pytest.mark.parametrize("fmt", ["text", "sse", "ui-message"])
def test_the_transcript_has_the_cost_whatever_the_caller_gets(relay: RelayCall, fmt: str) -> None:
    got = relay(Reply(answer("Hi")), fmt=fmt, model_prices=PRICES)
    assert got.transcript["cost"] == COST
    assert got.transcript["response"]["usage"] == USAGE


def test_without_a_price_or_a_usage_the_cost_is_null(relay: RelayCall) -> None:
    assert relay(Reply(answer("Hi"))).transcript["cost"] is None
    no_usage = Reply([event("Hi"), event(finish="stop"), DONE])
    assert relay(no_usage, model_prices=PRICES).transcript["cost"] is None


def test_the_service_tier_of_the_answer_decides_and_is_recorded(relay: RelayCall) -> None:
    usage = event(choices=[], usage=USAGE, service_tier="flex")
    got = relay(Reply([event("Hi"), event(finish="stop"), usage, DONE]), model_prices=PRICES)
    assert got.transcript["response"]["service_tier"] == "flex"
    assert got.transcript["cost"]["usd"] == (1 * 100 + 2 * 10) / 1_000_000


def test_a_broken_answer_has_the_cost_of_the_usage_so_far(relay: RelayCall) -> None:
    got = relay(Reply([event("Hi", usage=USAGE)], ends="cut"), model_prices=PRICES)
    assert (got.transcript["outcome"], got.transcript["cost"]) == ("truncated", COST)


def test_a_ui_message_ends_with_its_cost(relay: RelayCall) -> None:
    finish = parts_in(relay(Reply(answer("Hi")), fmt="ui-message", model_prices=PRICES).data)[-1]
    assert finish["messageMetadata"]["costUsd"] == USD
    assert "cost" not in finish["messageMetadata"]["usage"]["raw"]
    finish = parts_in(relay(Reply(answer("Hi")), fmt="ui-message").data)[-1]
    assert finish["messageMetadata"].keys() == {"usage", "timings"}


def test_only_the_usage_of_a_stream_is_written_anew(relay: RelayCall) -> None:
    pieces = [event("Hi"), event(finish="stop"), usage_event(), DONE]
    wanted = {"fmt": "sse", "usage_wanted": True, "model_prices": PRICES}
    assert relay(Reply(pieces), **wanted).data == b"".join(pieces)
    got = relay(Reply(pieces), cost_wanted=True, **wanted)
    shown = json.loads(usage_event()[6:])
    shown["usage"]["cost"] = USD
    assert got.data == event("Hi") + event(finish="stop") + b"data: %s\n\n" % compact(shown) + DONE
    assert got.transcript["response"]["usage"] == USAGE


def test_a_cost_that_is_not_known_is_null_in_the_usage(relay: RelayCall) -> None:
    got = relay(Reply(answer("Hi")), fmt="sse", usage_wanted=True, cost_wanted=True)
    assert costs_in(got.data) == [None]


def test_a_caller_who_did_not_ask_for_usage_gets_no_cost_either(relay: RelayCall) -> None:
    got = relay(Reply(answer("Hi")), fmt="sse", cost_wanted=True, model_prices=PRICES)
    assert costs_in(got.data) == []


def test_the_upstreams_own_cost_passes_untouched(relay: RelayCall) -> None:
    pieces = [event("Hi"), event(finish="stop"), event(choices=[], usage={**USAGE, "cost": 0.5}), DONE]
    got = relay(Reply(pieces), fmt="sse", usage_wanted=True, cost_wanted=True, model_prices=PRICES)
    assert got.data == b"".join(pieces)
    assert got.transcript["cost"] == {"usd": 0.5, "priced_as": "upstream"}


def test_an_answer_that_is_not_streamed_shows_its_cost(relay: RelayCall) -> None:
    document = completion("Hi", usage=USAGE, service_tier="flex", extra={"kept": [1.5, None]})
    got = relay(Reply.json(document), fmt="json", cost_wanted=True, model_prices=PRICES)
    cost = (1 * 100 + 2 * 10) / 1_000_000
    assert json.loads(got.data) == {**document, "usage": {**USAGE, "cost": cost}}


def test_a_response_shows_its_cost_in_its_last_event(relay: RelayCall) -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    first, last = of_response("response.created", usage=None), of_response("response.completed", usage=usage)
    got = relay(
        Reply([first, last]), fmt="responses-sse", dialect=responses_dialect(), usage_wanted=True,
        cost_wanted=True, model_prices=PRICES,
    )  # fmt: skip
    assert got.data.startswith(first + b"event: response.completed\ndata: {")
    assert costs_in(got.data) == [USD]
    assert got.transcript["cost"] == COST


def compact(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
