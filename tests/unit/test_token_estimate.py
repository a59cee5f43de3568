"""How many tokens an exchange has: as it is reported, or about."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_estimate import (
    MEDIA_TOKENS,
    answer_tokens,
    output_bound,
    prompt_tokens,
    reported_tokens,
    used_tokens,
)

# The sentence and the counts of its tokens that OpenAI has published for GPT-4o's tokenizer.
PUBLISHED = {
    "Hello, my name is GPT-4o. I'm a new type of language model, it's nice to meet you!": 24,
    "Hallo, mein Name is GPT-4o. Ich bin ein neues KI-Sprachmodell. Es ist schön, dich kennenzulernen.": 29,
    "Hola, me llamo GPT-4o. Soy un nuevo tipo de modelo de lenguaje, ¡es un placer conocerte!": 26,
    "Merhaba, benim adım GPT-4o. Ben yeni bir dil modeli türüyüm, tanıştığımıza memnun oldum!": 30,  # noqa: RUF001
    "Xin chào, tên tôi là GPT-4o. Tôi là một loại mô hình ngôn ngữ mới, rất vui được gặp bạn!": 30,
    "Привет, меня зовут GPT-4o. Я — новая языковая модель, приятно познакомиться!": 23,
    "مرحبًا، اسمي جي بي تي-4o. أنا نوع جديد من نموذج اللغة، سررت بلقائك!": 26,
    "नमस्ते, मेरा नाम जीपीटी-4o है। मैं एक नए प्रकार का भाषा मॉडल हूँ। आपसे मिलकर अच्छा लगा!": 31,
    "안녕하세요, 제 이름은 GPT-4o입니다. 저는 새로운 유형의 언어 모델입니다, 만나서 반갑습니다!": 27,
    "你好，我的名字是GPT-4o。我是一种新型的语言模型，很高兴见到你!": 24,  # noqa: RUF001
    "こんにちわ、私の名前はGPT−4oです。私は新しいタイプの言語モデルです、初めまして": 26,  # noqa: RUF001
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
COUNTS = st.sampled_from(
    ["total_tokens", "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"]
)


def recorded(*messages: Any, **parameters: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), "parameters": parameters}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def choice(**fields: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"refusal": None, "reasoning": None, "audio_transcript": None, "tool_calls": []}
    return {"index": 0, "content": "", "finish_reason": None, **nothing, **fields}


def transcript(
    outcome: str, usage: Any = None, content: str = "", delta_count: int = 1, reason: str | None = None
) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "reason": reason,
        "response": {"usage": usage, "choices": [choice(content=content)]},
        "timings": {"delta_count": delta_count},
    }


# -- prompts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sentence", "tokens"), PUBLISHED.items())
def test_a_sentence_in_any_script_is_estimated_within_a_factor_of_two(sentence: str, tokens: int) -> None:
    assert tokens / 2 <= answer_tokens([choice(content=sentence)]) <= tokens * 2


def test_english_is_estimated_within_an_eighth() -> None:
    # OpenAI's examples: "1 token ~= 4 chars in English", this sentence 11 tokens.
    assert answer_tokens([choice(content="You miss 100% of the shots you don't take")]) == 11
    assert answer_tokens([choice(content=next(iter(PUBLISHED)))]) == pytest.approx(24, rel=1 / 8)


def test_a_short_question_with_what_stands_around_it_has_a_handful_of_tokens() -> None:
    assert 4 <= prompt_tokens(recorded(user("hi"))) <= 10  # OpenAI counts 8


def test_instructions_tools_and_what_the_relay_does_not_know_are_part_of_the_prompt() -> None:
    text = "word " * 1000
    tool = {"type": "function", "function": {"name": "look", "description": text}}
    bare = prompt_tokens(recorded(user("hi")))
    for parameters in ({"instructions": text}, {"tools": [tool]}, {"x_vendor": {"system": text}}):
        assert 1250 <= prompt_tokens(recorded(user("hi"), **parameters)) - bare <= 1270


def test_numbers_and_flags_hardly_count() -> None:
    parameters = {"temperature": 0.7, "stream": True, "seed": 10**300, "stop": None}
    assert prompt_tokens(recorded(user("hi"), **parameters)) - prompt_tokens(recorded(user("hi"))) <= 12


BASE64 = "iVBORw0KGgo" * 100_000
DATA_URL = f"data:image/png;base64,{BASE64}"


@pytest.mark.parametrize(
    "message",
    [
        user([{"type": "image_url", "image_url": {"url": DATA_URL, "detail": "high"}}]),
        user([{"type": "image_url", "image_url": {"url": "https://example.com/sky.png"}}]),
        user([{"type": "input_image", "image_url": DATA_URL}]),
        user([{"type": "input_image", "file_id": "file-1"}]),
        user([{"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}}]),
        user([{"type": "file", "file": {"filename": "a.pdf", "file_data": DATA_URL}}]),
        user([{"type": "input_file", "filename": "a.pdf", "file_data": BASE64}]),
        user([{"type": "input_file", "file_url": "https://example.com/a.pdf"}]),
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": BASE64},
        {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": DATA_URL}},
    ],
)
def test_a_medium_counts_as_a_flat_figure_however_large_it_is(message: dict[str, Any]) -> None:
    assert MEDIA_TOKENS <= prompt_tokens(recorded(message)) <= MEDIA_TOKENS + 40


def test_each_medium_counts() -> None:
    part = {"type": "image_url", "image_url": {"url": DATA_URL}}
    assert (
        3 * MEDIA_TOKENS <= prompt_tokens(recorded(user([part, part]), user([part]))) < 3 * MEDIA_TOKENS + 60
    )


@pytest.mark.parametrize("content", [DATA_URL, [{"type": "text", "text": DATA_URL}]])
def test_text_that_claims_to_be_a_medium_is_text(content: Any) -> None:
    assert prompt_tokens(recorded(user(content))) > len(BASE64) / 4


def test_an_argument_of_a_tool_is_no_medium_by_its_name() -> None:
    properties = {"image_url": {"type": "string", "description": "which"}, "file_id": {"type": "string"}}
    tool = {"type": "function", "function": {"parameters": {"type": "object", "properties": properties}}}
    assert prompt_tokens(recorded(user("hi"), tools=[tool])) < 60


def test_a_field_for_a_medium_that_holds_anything_else_hides_no_text() -> None:
    hidden = {"role": "user", "image_url": {"text": "word " * 1000}, "input_audio": ["word " * 1000]}
    assert prompt_tokens(recorded(hidden)) > 2500


@given(messages=JSON, parameters=JSON)
def test_a_prompt_of_any_json_has_at_least_a_token(messages: Any, parameters: Any) -> None:
    assert prompt_tokens({"messages": messages, "parameters": parameters}) >= 1


def test_no_depth_is_too_deep() -> None:
    deep: Any = "word"
    for depth in range(100_000):
        deep = [deep] if depth % 2 else {"a": deep}
    assert prompt_tokens(recorded(user(deep))) > 12_500


def test_lone_surrogates_are_counted_like_any_character() -> None:
    assert answer_tokens([choice(content="\ud800" * 400)]) == 300


@pytest.mark.parametrize("piece", ['"",', "1,", '{"a":1},', "[[]],", '"é",', "[{}],"])
def test_the_largest_body_of_the_smallest_values_is_counted_in_a_moment(piece: str) -> None:
    values = json.loads("[" + (piece * (6 * 1024 * 1024 // len(piece.encode())))[:-1] + "]")
    began = time.process_time()
    prompt_tokens(recorded(user(values)))
    assert time.process_time() - began < 3


# -- answers -------------------------------------------------------------------------------------------------


def test_everything_that_the_model_has_written_counts_in_every_choice() -> None:
    call = {"id": "call_1", "name": "n" * 40, "arguments": "a" * 400}
    whole = choice(
        content="c" * 400,
        refusal="r" * 400,
        reasoning="t" * 400,
        audio_transcript="s" * 400,
        tool_calls=[call],
    )
    assert answer_tokens([whole]) == 510
    assert answer_tokens([whole, whole]) == 1020


def test_an_answer_of_which_nothing_has_come_has_no_tokens() -> None:
    assert answer_tokens([]) == answer_tokens([choice()]) == 0
    assert answer_tokens([choice(tool_calls=[{"id": None, "name": None, "arguments": ""}])]) == 0


# -- what is booked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}, 21),
        ({"input_tokens": 9, "output_tokens": 12, "total_tokens": 21}, 21),
        ({"prompt_tokens": 9, "completion_tokens": 12}, 21),
        ({"input_tokens": 9, "output_tokens": 12}, 21),
        ({"prompt_tokens": 9, "completion_tokens": 0}, 9),
        ({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": None}, 21),
        ({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 0}, 21),
        ({"total_tokens": 10**12}, 10**12),
        (None, None),
        ({}, None),
        ([21], None),
        ({"prompt_tokens": 9}, None),
        ({"total_tokens": 0, "prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"total_tokens": "21"}, None),
        ({"total_tokens": True}, None),
        ({"total_tokens": 21.5}, None),
        ({"total_tokens": -21}, None),
        ({"total_tokens": 10**12 + 1}, None),
        ({"prompt_tokens": -9, "completion_tokens": 12}, None),
        ({"total_tokens": [21]}, None),
    ],
)
def test_the_upstreams_own_count_is_taken_where_it_is_one(usage: Any, tokens: int | None) -> None:
    assert reported_tokens(usage) == tokens


@pytest.mark.parametrize("outcome", ["completed", "incomplete"])
def test_a_whole_answer_has_taken_what_the_upstream_reports(outcome: str) -> None:
    document = transcript(outcome, {"total_tokens": 21}, content="x" * 4000)
    assert used_tokens(document, prompt=500) == 21


@pytest.mark.parametrize("outcome", ["completed", "incomplete", "truncated", "abandoned", "failed"])
def test_an_answer_of_which_nothing_is_reported_has_taken_about_what_was_said(outcome: str) -> None:
    assert used_tokens(transcript(outcome, content="x" * 4000), prompt=500) == 1500


@pytest.mark.parametrize("outcome", ["truncated", "abandoned", "failed"])
def test_a_report_from_before_the_break_is_not_taken_for_the_last(outcome: str) -> None:
    early, late = {"total_tokens": 21}, {"total_tokens": 1700}
    assert used_tokens(transcript(outcome, early, content="x" * 4000), prompt=500) == 1500
    assert used_tokens(transcript(outcome, late, content="x" * 4000), prompt=500) == 1700


def test_an_upstream_that_fails_without_a_word_has_taken_nothing_but_what_it_reports() -> None:
    assert used_tokens(transcript("failed", delta_count=0), prompt=500) == 0
    assert used_tokens(transcript("failed", {"total_tokens": 510}, delta_count=0), prompt=500) == 510


@pytest.mark.parametrize("reason", ["upstream_timeout", "internal_error"])
def test_a_prompt_at_which_the_upstream_may_have_worked_is_counted(reason: str) -> None:
    assert used_tokens(transcript("failed", delta_count=0, reason=reason), prompt=500) == 500
    assert used_tokens(transcript("failed", delta_count=0, reason="upstream_refused"), prompt=500) == 0


@pytest.mark.parametrize("outcome", ["truncated", "abandoned"])
def test_a_prompt_that_the_upstream_has_taken_counts_though_no_word_came_back(outcome: str) -> None:
    assert used_tokens(transcript(outcome, delta_count=0), prompt=500) == 500


@given(usage=JSON | st.dictionaries(COUNTS, JSON))
def test_whatever_an_upstream_reports_a_whole_number_is_booked(usage: Any) -> None:
    for outcome in ("completed", "truncated", "failed"):
        used = used_tokens(transcript(outcome, usage, content="word"), prompt=5)
        assert type(used) is int
        assert 0 < used <= 2 * 10**12


@pytest.mark.parametrize("reason", ["caller_gone", "deadline_exceeded"])
def test_an_answer_that_was_left_in_the_middle_counts_as_its_bound(reason: str) -> None:
    left = transcript("abandoned", content="word " * 4, reason=reason)
    assert used_tokens(left, prompt=500, bound=2000) == 2500
    assert used_tokens(left, prompt=500, bound=2) == used_tokens(left, prompt=500) == 505
    cut = transcript("truncated", content="word " * 4, reason="upstream_interrupted")
    assert used_tokens(cut, prompt=500, bound=2000) == 505


@pytest.mark.parametrize(
    ("parameters", "cap", "choices", "bound"),
    [
        ({}, None, 1, None),
        ({}, 100, 4, 100),
        ({"max_tokens": 20}, 100, 4, 80),
        ({"max_output_tokens": 30}, None, 1, 30),
        ({"max_completion_tokens": "many", "max_tokens": None}, None, 1, None),
    ],
)
def test_the_bound_of_an_answer_is_the_lowest_there_is(
    parameters: dict[str, Any], cap: int | None, choices: int, bound: int | None
) -> None:
    assert output_bound(parameters, cap, choices) == bound
