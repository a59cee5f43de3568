"""OpenAI's own packages with nothing changed but the base URL, in all their ways to ask."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.clients.client_scenarios import MODELS, SCENARIOS, set_up
from tests.support.clients.openai_clients import ASK_BY, CREATE_WAYS, HELPER_WAYS, WHOLE_WAYS, Job, Seen
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import DONE, ReplayUpstream, Reply, event

STREAMED_WAYS = [*CREATE_WAYS, *HELPER_WAYS]
RESPONSES_STREAMED = [way for way in STREAMED_WAYS if way.startswith("responses")]
CHAT_STREAMED = [way for way in STREAMED_WAYS if way.startswith("chat")]
ALL_WAYS = [*STREAMED_WAYS, *WHOLE_WAYS]

Answers = Mapping[tuple[str, str], Seen]  # by way and scenario


@pytest.fixture(scope="module", params=ASK_BY)
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def answers(package: str, relay: ServedRelay, replay: ReplayUpstream) -> Answers:
    """All questions, asked by one package in one run: starting Node takes longer than asking."""
    set_up(replay)
    jobs: dict[tuple[str, str], Job] = {}
    for way in ALL_WAYS:
        api, mode = way.split()
        for name, scenario in SCENARIOS[api].items():
            if mode == "whole" and scenario.whole:
                jobs[way, name] = (way, f"{api} {name} whole")
            elif mode != "whole" and scenario.stream:
                jobs[way, name] = (way, f"{api} {name}")
    jobs["models list", ""] = ("models list", "")
    jobs |= {("models retrieve", model): ("models retrieve", model) for model in (*MODELS, "unknown/model")}
    seen = ASK_BY[package](f"{relay.url}/v1", list(jobs.values()))
    return dict(zip(jobs, seen, strict=True))


def test_the_models_are_listed(answers: Answers) -> None:
    assert (answers["models list", ""].text_deltas, answers["models list", ""].error) == (MODELS, None)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_found(answers: Answers, model: str) -> None:
    assert (answers["models retrieve", model].text, answers["models retrieve", model].error) == (model, None)


def test_an_unknown_model_is_openais_404(answers: Answers) -> None:
    error = answers["models retrieve", "unknown/model"].error
    assert error is not None
    assert (error["kind"], error["status"], error["code"]) == ("APIError", 404, "model_not_found")


def api_of(way: str) -> str:
    return way.split()[0]


@pytest.mark.parametrize("way", STREAMED_WAYS)
def test_an_answer_arrives_delta_by_delta(answers: Answers, way: str) -> None:
    seen, sent = answers[way, "plain"], SCENARIOS[api_of(way)]["plain"]
    assert seen.error is None
    assert seen.text_deltas == list(sent.text)
    assert seen.text == "".join(sent.text)
    assert (seen.finish_reason, seen.refusal) == (sent.finish_reason, "")


@pytest.mark.parametrize(("way", "total_tokens"), [("chat whole", 3), ("responses whole", 15)])
def test_an_answer_arrives_in_one_piece(answers: Answers, way: str, total_tokens: int) -> None:
    seen, sent = answers[way, "plain"], SCENARIOS[api_of(way)]["plain"]
    assert seen.error is None
    assert (seen.text, seen.finish_reason) == ("".join(sent.text), sent.finish_reason)
    assert seen.total_tokens == total_tokens


@pytest.mark.parametrize(("way", "total_tokens"), [("chat whole", 12), ("responses whole", 15)])
def test_an_unrequested_stream_arrives_in_one_piece(answers: Answers, way: str, total_tokens: int) -> None:
    seen, sent = answers[way, "unasked"], SCENARIOS[api_of(way)]["plain"]
    assert seen.error is None
    assert (seen.text, seen.finish_reason) == ("".join(sent.text), sent.finish_reason)
    assert seen.total_tokens == total_tokens


@pytest.mark.parametrize("way", ALL_WAYS)
def test_interleaved_tool_calls_are_assembled(answers: Answers, way: str) -> None:
    seen, sent = answers[way, "tools"], SCENARIOS[api_of(way)]["tools"]
    assert seen.error is None
    assert seen.tool_calls == list(sent.tool_calls)
    assert (seen.finish_reason, seen.text) == (sent.finish_reason, "")


@pytest.mark.parametrize("way", ALL_WAYS)
def test_a_refusal_is_separate_from_the_text(answers: Answers, way: str) -> None:
    seen, sent = answers[way, "refusal"], SCENARIOS[api_of(way)]["refusal"]
    assert seen.error is None
    assert (seen.refusal, seen.text) == ("".join(sent.refusal), "")
    assert seen.refusal_deltas == ([] if way in WHOLE_WAYS else list(sent.refusal))
    assert seen.finish_reason == sent.finish_reason


@pytest.mark.parametrize("name", ["error", "flat error"])
@pytest.mark.parametrize("way", CHAT_STREAMED)
def test_an_error_in_the_middle_of_a_stream_is_raised_after_the_text_before_it(
    answers: Answers, way: str, name: str
) -> None:
    assert_raised_in_mid_stream(answers, way, name)


@pytest.mark.parametrize("way", RESPONSES_STREAMED)
def test_an_error_object_in_a_responses_stream_is_raised_too(answers: Answers, way: str) -> None:
    assert_raised_in_mid_stream(answers, way, "error")


def assert_raised_in_mid_stream(answers: Answers, way: str, name: str) -> None:
    seen, sent = answers[way, name], SCENARIOS[api_of(way)][name]
    assert seen.text_deltas == list(sent.text)
    assert seen.error is not None
    assert (seen.error["kind"], seen.error["status"]) == ("APIError", None)
    assert sent.error
    assert sent.error in seen.error["message"]
    assert seen.finish_reason is None


@pytest.mark.parametrize("way", RESPONSES_STREAMED)
def test_a_failed_response_arrives_as_its_event(answers: Answers, way: str) -> None:
    seen, sent = answers[way, "failed"], SCENARIOS["responses"]["failed"]
    assert seen.error is None
    assert seen.text_deltas == list(sent.text)
    assert (seen.events[-1], seen.failure) == ("response.failed", sent.error)
    assert seen.finish_reason == "failed"


@pytest.mark.parametrize("way", RESPONSES_STREAMED)
def test_an_error_event_of_the_upstream_arrives_as_that_event(
    answers: Answers, package: str, way: str
) -> None:
    seen, sent = answers[way, "flat error"], SCENARIOS["responses"]["flat error"]
    assert (seen.events[-1], seen.failure) == ("error", sent.error)
    assert seen.finish_reason is None
    if (package, way) == ("npm", "responses helper"):  # which treats an event of this name as its own error
        assert seen.error is not None
        assert (seen.error["code"], seen.error["message"]) == ("rate_limit_exceeded", sent.error)
    else:
        assert seen.error is None


@pytest.mark.parametrize("way", STREAMED_WAYS)
def test_an_interrupted_stream_is_raised(answers: Answers, way: str) -> None:
    seen, sent = answers[way, "cut"], SCENARIOS[api_of(way)]["cut"]
    assert seen.text_deltas == list(sent.text)
    assert seen.error is not None
    assert (seen.error["kind"], seen.error["code"]) == ("APIError", "upstream_interrupted")
    assert (seen.finish_reason, seen.failure) == (None, None)


@pytest.mark.parametrize(
    ("name", "code"), [("error", "busy"), ("cut", "upstream_interrupted"), ("refused", "model_not_found")]
)
@pytest.mark.parametrize("way", WHOLE_WAYS)
def test_an_answer_in_one_piece_fails_with_a_status(answers: Answers, way: str, name: str, code: str) -> None:
    error = answers[way, name].error
    assert error is not None
    assert (error["status"], error["code"]) == (404 if name == "refused" else 502, code)


@pytest.mark.parametrize("way", STREAMED_WAYS)
def test_an_error_before_the_first_byte_is_raised_with_its_status(answers: Answers, way: str) -> None:
    error = answers[way, "refused"].error
    assert error is not None
    assert (error["status"], error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("package", ["python", "npm"])
def test_a_comment_among_events_with_ids_is_not_an_event(
    relay: ServedRelay, replay: ReplayUpstream, package: str
) -> None:
    """After an id, some decoders treat a blank line as an event. A comment is sent every second here."""
    events = [event("Hel"), event("lo"), event(finish="stop"), DONE]
    numbered = [b"id: %d\n" % number + raw for number, raw in enumerate(events, start=1)]
    replay.answer("numbered", Reply([numbered[0], 2.5, *numbered[1:]]))
    [seen] = ASK_BY[package](f"{relay.url}/v1", [("chat create", "numbered")])
    assert (seen.error, seen.text_deltas, seen.finish_reason) == (None, ["Hel", "lo"], "stop")
