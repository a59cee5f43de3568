"""Hundreds of answers, a third of them failing: metrics and report add up to what the transcripts say."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.records import report
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import DONE, ReplayUpstream, Reply, event

PROMPT, WORDS, UPSTREAM_KEY = (
    "the-plan-that-nobody-may-read",
    "the-answer-that-nobody-may-read",
    "sk-upstream",
)
CALLERS = {"web": "key-of-web", "batch": "key-of-batch"}
USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 41,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 16},
}
ENDING = [
    event(finish="stop"),
    b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode() + b"\n\n",
    DONE,
]
TOLD = b"data: " + json.dumps({"error": {"message": PROMPT, "code": f"own {PROMPT}"}}).encode() + b"\n\n"
FAILING = {
    "refused": Reply.json({"error": {"message": PROMPT}}, 400),
    "broken": Reply.json({"error": {"message": PROMPT}}, 500),
    "reset": Reply([], ends="reset"),
    "cut": Reply([event(WORDS), 0.05], ends="cut"),
    "told": Reply([event(WORDS), 0.05, TOLD]),
    "silent": Reply([event(WORDS)], ends="silent"),
}
REPLIES = {
    "gpt-6-luna": Reply([event(WORDS), *ENDING]),
    "gpt-6.1-paced": Reply([event(WORDS), 0.15, event(WORDS), *ENDING]),
    **{f"gpt-6.1-{way}": reply for way, reply in FAILING.items()},
}
MODEL_ENTRIES = {name: name if name == "gpt-6-luna" else "gpt-6.1-*" for name in REPLIES}
# Of 20 answers: 6 fail, 2 are slow enough to have a speed.
ROUND = ["gpt-6-luna"] * 12 + ["gpt-6.1-paced"] * 2 + [f"gpt-6.1-{way}" for way in FAILING]
ROUNDS = 25  # 500 answers
REFUSALS = {"401": 9, "404": 6, "405": 4, "400": 5, "413": 3}

Sums = dict[tuple[str, frozenset[tuple[str, str]]], tuple[float, int]]


def ask(caller: httpx.Client, number: int) -> None:
    body = {"model": ROUND[number % len(ROUND)], "messages": [{"role": "user", "content": PROMPT}]}
    key = list(CALLERS.values())[number % 3 == 0]
    path, extra = ("/v1/chat/completions", {"stream": True}) if number % 2 else ("/chatCompletion", {})
    with contextlib.suppress(httpx.RemoteProtocolError):  # texts are broken off
        caller.post(path, json={**body, **extra}, headers={"x-api-key": key})


def ask_in_vain(caller: httpx.Client, status: str) -> None:
    headers = {"x-api-key": CALLERS["web"]}
    response = {
        "401": lambda: caller.get(
            "/chatCompletion", params={"message": PROMPT}, headers={"x-api-key": "guess"}
        ),
        "404": lambda: caller.get(f"/{PROMPT}%0A%7B%7D"),
        "405": lambda: caller.put("/v1/responses", headers=headers),
        "400": lambda: caller.post("/v1/responses", content=f"{{{PROMPT}", headers=headers),
        "413": lambda: caller.post("/v1/responses", content=PROMPT * 1000, headers=headers),
    }[status]()
    assert response.status_code == int(status)


@pytest.fixture(scope="module")
def served(replay: ReplayUpstream) -> Iterator[ServedRelay]:
    """A relay that has answered and refused everything."""
    for model, reply in REPLIES.items():
        replay.answer(model, reply)
    keys = ",".join(f"{name}:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in CALLERS.items())
    settings = {
        "OPENAI_BASE_URL": replay.url,
        "OPENAI_API_KEY": UPSTREAM_KEY,
        "CALLER_KEYS": keys,
        "ALLOWED_MODELS": "gpt-6-luna,gpt-6.1-*",
        "MAX_BODY_BYTES": "20000",
        "UPSTREAM_RETRIES": "1",
        "IDLE_TIMEOUT_S": "1",
        "LOG_LEVEL": "DEBUG",
        "METRICS": "per-caller",
        "MODEL_PRICES": '{"gpt-6*": {"input": 0.25, "output": 2}}',
        "MAX_ENVIRONMENTS": "3",
    }
    answers, refusals = (
        ROUNDS * len(ROUND),
        [status for status, count in REFUSALS.items() for _ in range(count)],
    )
    with (
        ServedRelay(settings) as relay,
        httpx.Client(base_url=relay.url, timeout=60, trust_env=False) as caller,
        ThreadPoolExecutor(3) as callers,
    ):
        list(callers.map(lambda number: ask(caller, number), range(answers)))
        list(callers.map(lambda status: ask_in_vain(caller, status), refusals))
        give_up_at = time.monotonic() + 120
        while len(lines_with(relay, "relay.answers") + lines_with(relay, "relay.refusals")) < answers + len(
            refusals
        ):
            assert time.monotonic() < give_up_at, "\n".join(relay.lines[-20:])
            time.sleep(0.05)
        yield relay


def lines_with(relay: ServedRelay, name: str) -> list[dict[str, Any]]:
    """The records and metrics that have this field."""
    texts = [line.partition("] ")[2] for line in list(relay.lines) if f'"{name}"' in line]
    return [document for document in map(json.loads, texts) if name in document]


def written(relay: ServedRelay) -> Sums:
    """What CloudWatch makes of the lines: by metric and dimensions, the sum and the number of values."""
    sums: Sums = defaultdict(lambda: (0.0, 0))
    for line in lines_with(relay, "_aws"):
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                for names in directive["Dimensions"]:
                    key = (metric["Name"], frozenset((name, line[name]) for name in names))
                    total, count = sums[key]
                    sums[key] = total + sum(line[metric["Name"]]), count + len(line[metric["Name"]])
    return sums


def of_transcript(transcript: Mapping[str, Any]) -> Iterator[tuple[str, float, list[dict[str, str]]]]:
    """The metrics of an answer, their values and dimensions, as docs/metrics.md has them."""
    timings, usage = transcript["timings"], transcript["response"]["usage"]
    model, caller = MODEL_ENTRIES[transcript["request"]["model"]], transcript["caller"]
    by: list[dict[str, str]] = [{}, {"gen_ai.request.model": model}, {"caller": caller}]
    first_ms, duration_ms = timings["time_to_first_token_ms"], timings["duration_ms"]
    yield "gen_ai.client.inference.duration", duration_ms / 1000, by
    yield "relay.upstream.attempts", transcript["upstream"]["attempts"], by
    if first_ms is not None:
        yield "gen_ai.server.time_to_first_token", first_ms / 1000, by
    if usage:
        tokens = "gen_ai.client.inference.usage."
        yield tokens + "input_tokens", usage["prompt_tokens"], by
        yield tokens + "output_tokens", usage["completion_tokens"], by
        yield tokens + "cache_read.input_tokens", usage["prompt_tokens_details"]["cached_tokens"], by
        yield tokens + "reasoning.output_tokens", usage["completion_tokens_details"]["reasoning_tokens"], by
        if duration_ms - first_ms >= 100:
            per_s = round((41 - 16 - 1) * 1000 / (duration_ms - first_ms), 2)
            yield "relay.output_tokens_per_second", per_s, by
            yield "gen_ai.server.time_per_output_token", 1 / per_s, by
        yield "relay.cost_usd", (120 * 0.25 + 41 * 2) / 1_000_000, by
    outcome, reason = transcript["outcome"], transcript["reason"]
    error = "_OTHER" if reason and PROMPT in reason else reason
    yield (
        "relay.answers",
        1,
        [
            {"outcome": outcome},
            {"outcome": outcome, "gen_ai.request.model": model},
            *([{"outcome": outcome, "error.type": error}] if error else []),
            {"outcome": outcome, "caller": caller},
        ],
    )


def expected(transcripts: list[dict[str, Any]], processes: int) -> Sums:
    sums: Sums = defaultdict(lambda: (0.0, 0))

    def add(name: str, value: float, dimensions: Mapping[str, str], count: int = 1) -> None:
        key = (name, frozenset({"FunctionName": "stream-chat", **dimensions}.items()))
        sums[key] = (sums[key][0] + value, sums[key][1] + count)

    for transcript in transcripts:
        for name, value, sets in of_transcript(transcript):
            for dimensions in sets:
                add(name, value, dimensions)
    for status, count in REFUSALS.items():
        by_status = {"http.response.status_code": status}
        add("relay.refusals", count, by_status, count)
        if status in ("400",):  # the others are refused before the caller is known
            add("relay.refusals", count, {**by_status, "caller": "web"}, count)
    add("relay.cold_starts", processes, {}, processes)
    return sums


def test_every_answer_failed_or_not_has_a_transcript(served: ServedRelay) -> None:
    transcripts = served.transcripts
    assert len(transcripts) == ROUNDS * len(ROUND)
    failing = [transcript for transcript in transcripts if transcript["outcome"] != "completed"]
    assert len(failing) >= ROUNDS * len(FAILING)  # a machine that stands still may cut another one
    assert len({(one["outcome"], one["reason"]) for one in failing}) >= 5


def test_the_sums_of_every_metric_are_those_of_the_transcripts(served: ServedRelay) -> None:
    processes = {line.partition("]")[0] for line in served.lines if '"_aws"' in line}
    found, wanted = written(served), expected(served.transcripts, len(processes))
    assert found.keys() == wanted.keys()
    for key, (total, count) in wanted.items():
        assert found[key][1] == count, key
        assert found[key][0] == pytest.approx(total), key


def test_the_report_of_the_archive_agrees_with_the_metrics(served: ServedRelay, tmp_path: Path) -> None:
    for transcript in served.transcripts:
        folder = tmp_path / "transcripts" / f"date={transcript['timings']['started_at'][:10]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{transcript['id']}.jsonl").write_text(json.dumps(transcript) + "\n", encoding="ascii")
    reported = report.summaries(report.archived(tmp_path), "caller")
    sums = written(served)
    usage = "gen_ai.client.inference.usage."
    assert {caller for (caller,) in reported} == set(CALLERS)
    for (caller,), summary in reported.items():
        own = {"FunctionName": "stream-chat", "caller": caller}

        def total(name: str, own: Mapping[str, str] = own, **others: str) -> float:
            return sums[name, frozenset({**own, **others}.items())][0]

        assert {kind: total("relay.answers", outcome=kind) for kind in summary.outcomes} == summary.outcomes
        assert summary.input_tokens == total(f"{usage}input_tokens")
        assert summary.output_tokens == total(f"{usage}output_tokens")
        assert summary.cost_usd == pytest.approx(total("relay.cost_usd"))


def test_every_answer_and_every_refusal_has_one_record(served: ServedRelay) -> None:
    records = [record for record in lines_with(served, "outcome") if "_aws" not in record]
    refused = [record for record in records if record["outcome"] == "refused"]
    assert sorted(str(record["status"]) for record in refused) == sorted(
        status for status, count in REFUSALS.items() for _ in range(count)
    )
    assert {record["route"] for record in refused} == {"/v1/responses", "/chatCompletion", "other"}
    answered = {record["requestId"]: record for record in records if record["outcome"] != "refused"}
    assert answered.keys() == {transcript["id"] for transcript in served.transcripts}


def test_nothing_of_a_prompt_an_answer_or_a_key_is_in_any_of_it(served: ServedRelay) -> None:
    log = "\n".join(served.lines)
    assert '"level": "DEBUG"' in log
    assert "Adding metric" not in log, "what Powertools says of its own work would flood the log"
    for secret in (PROMPT, WORDS, UPSTREAM_KEY, "guess", *CALLERS.values()):
        assert secret not in log
    assert PROMPT in json.dumps(served.transcripts), "the search must find what is there"
