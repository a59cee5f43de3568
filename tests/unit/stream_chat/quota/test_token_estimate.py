"""How many tokens an exchange has used: as reported, or estimated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quota.prompt_tokens import PromptTokens
from quota.token_estimate import (
    HIGHEST_OUTPUT,
    TokenBounds,
    answer_tokens,
    output_bound,
    reported_tokens,
    used_tokens,
)

# A sentence and its token counts as published by OpenAI for GPT-4o's tokenizer.
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


PROMPT = PromptTokens(estimate=500, bound=1900)
OUTPUT = 3000
BOUNDS = TokenBounds(PROMPT, OUTPUT)


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


# -- answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sentence", "tokens"), PUBLISHED.items())
def test_a_sentence_in_any_script_is_estimated_within_a_factor_of_two(sentence: str, tokens: int) -> None:
    assert tokens / 2 <= answer_tokens([choice(content=sentence)]) <= tokens * 2


def test_english_is_estimated_within_an_eighth() -> None:
    # OpenAI's examples: "1 token ~= 4 chars in English", this sentence 11 tokens.
    assert answer_tokens([choice(content="You miss 100% of the shots you don't take")]) == 11
    assert answer_tokens([choice(content=next(iter(PUBLISHED)))]) == pytest.approx(24, rel=1 / 8)


def test_lone_surrogates_are_counted_like_any_character() -> None:
    assert answer_tokens([choice(content="\ud800" * 400)]) == 300


def test_all_output_of_the_model_counts_in_every_choice() -> None:
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


def test_an_answer_that_has_not_begun_has_no_tokens() -> None:
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
def test_the_upstreams_own_count_is_used_if_it_is_valid(usage: Any, tokens: int | None) -> None:
    assert reported_tokens(usage) == tokens


@pytest.mark.parametrize("outcome", ["completed", "incomplete"])
def test_a_complete_answers_usage_is_what_the_upstream_reports(outcome: str) -> None:
    document = transcript(outcome, {"total_tokens": 21}, content="x" * 4000)
    assert used_tokens(document, BOUNDS) == 21


@pytest.mark.parametrize("outcome", ["completed", "incomplete"])
def test_a_complete_answer_without_a_report_is_estimated_from_its_text(outcome: str) -> None:
    assert used_tokens(transcript(outcome, content="x" * 4000), BOUNDS) == 1500


BROKEN = [
    ("truncated", "upstream_interrupted"),
    ("truncated", "deadline_exceeded"),
    ("abandoned", "caller_gone"),
    ("failed", "server_error"),
]


@pytest.mark.parametrize(("outcome", "reason"), BROKEN)
def test_an_answer_that_broke_off_has_used_its_bounds(outcome: str, reason: str) -> None:
    assert used_tokens(transcript(outcome, content="word", reason=reason), BOUNDS) == 4900
    early = transcript(outcome, {"total_tokens": 21}, content="word", reason=reason)
    assert used_tokens(early, BOUNDS) == 4900  # some servers send interim reports
    assert used_tokens(transcript(outcome, {"total_tokens": 5000}, reason=reason), BOUNDS) == 5000
    longer = transcript(outcome, content="x" * 40_000, reason=reason)
    assert used_tokens(longer, BOUNDS) == 11_900


@pytest.mark.parametrize(("outcome", "reason"), BROKEN)
def test_an_unbounded_answer_that_the_upstream_broke_off_has_used_its_bytes(
    outcome: str, reason: str
) -> None:
    broken = transcript(outcome, content="x" * 400, reason=reason)
    is_upstreams = reason in ("upstream_interrupted", "server_error")
    used = 1900 + (400 if is_upstreams else OUTPUT)
    assert used_tokens(broken, BOUNDS._replace(is_bounded=False)) == used


@pytest.mark.parametrize("outcome", ["truncated", "abandoned"])
def test_a_prompt_that_the_upstream_accepted_counts_without_any_answer(outcome: str) -> None:
    assert used_tokens(transcript(outcome, delta_count=0), BOUNDS) == 4900


def test_a_failure_without_an_answer_has_used_only_what_is_reported() -> None:
    assert used_tokens(transcript("failed", delta_count=0), BOUNDS) == 0
    assert used_tokens(transcript("failed", {"total_tokens": 510}, delta_count=0), BOUNDS) == 510


@pytest.mark.parametrize("reason", ["upstream_timeout", "internal_error", "not_event_stream"])
def test_a_prompt_counts_if_the_upstream_may_have_worked_on_it(reason: str) -> None:
    assert used_tokens(transcript("failed", delta_count=0, reason=reason), BOUNDS) == 4900
    assert used_tokens(transcript("failed", delta_count=0, reason="upstream_refused"), BOUNDS) == 0


@given(usage=JSON | st.dictionaries(COUNTS, JSON))
def test_a_whole_number_is_booked_whatever_an_upstream_reports(usage: Any) -> None:
    for outcome in ("completed", "truncated", "failed"):
        used = used_tokens(transcript(outcome, usage, content="word"), BOUNDS)
        assert type(used) is int
        assert 0 < used <= 2 * 10**12


CHAT_FIELDS = ("max_tokens", "max_completion_tokens")


@pytest.mark.parametrize(
    ("request_", "cap", "choices", "bound"),
    [
        ({}, None, 1, None),
        ({}, 100, 4, 100),
        ({"max_tokens": 20}, 100, 4, 80),
        ({"max_tokens": 20}, None, 4, 80),
        ({"max_tokens": 20, "max_completion_tokens": 30}, None, 1, 30),  # the upstream decides which it reads
        ({"max_output_tokens": 30}, None, 1, None),  # unknown to chat completions
        ({"max_completion_tokens": "many", "max_tokens": None}, None, 1, None),
        ({"max_tokens": 0}, None, 1, None),  # means no bound to some servers
        ({"max_tokens": -1}, None, 1, None),
        ({"max_tokens": 10**9}, None, 2, 2 * HIGHEST_OUTPUT),
        ({"max_tokens": 1, "fallbacks": [{"max_tokens": 50}]}, None, 1, None),
        ({"max_tokens": 1, "fallbacks": [{"max_tokens": 50}]}, 100, 1, 100),
    ],
)
def test_the_bound_of_an_answer_is_the_lowest_certain_one(
    request_: dict[str, Any], cap: int | None, choices: int, bound: int | None
) -> None:
    assert output_bound(request_, cap, choices, CHAT_FIELDS) == bound
