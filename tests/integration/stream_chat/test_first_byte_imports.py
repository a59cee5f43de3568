"""Before the first byte, only what it needs is imported."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.project import PROJECT
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer

NOT_BEFORE = {
    "boto3", "botocore", "aws_lambda_powertools", "asyncio", "pydantic", "multiprocessing",
    "concurrent.futures", "difflib", "requests", "openai",
}  # fmt: skip
OF_OTHER_MODES = {
    "jwt", "cryptography", "callers.tokens", "callers.signing_keys", "callers.published_keys",
    "callers.callers_table", "settings_reading.settings_json", "quota.rate_limits", "quota.counters",
    "quota.money", "quota.usage_report", "settings_reading.caller_limits", "quota.usage_windows",
    "quota.token_estimate", "quota.prompt_tokens",
}  # fmt: skip
# For the warning of a shutdown, which is for operators.
AFTER_THE_ANSWER = {"models.listing", "models.allowed_models", "models.shutdown", "models.shutdown_warnings"}
OTHER_ROUTES = {
    "public.files", "request.ui_messages", "rendering.ui_message", "request.provider_metadata",
    "chat_stream.dialects.chat_completions.delta_extras",
    "chat_stream.dialects.chat_completions.chunk_merging", "chat_stream.dialects.responses.events",
    "chat_stream.dialects.responses.documents", "chat_stream.dialects.chat_completions.assembly",
}  # fmt: skip
PRICES = {"pricing.cost", "pricing.price_file", "pricing.price_list", "pricing.token_counts", "decimal"}

# Runs the function in a fresh interpreter with a body that notes the imported modules at the caller's first
# byte; they are noted again when the work after the response is done.
PROGRAM = """
import json, sys
import app
from lambda_stream import ResponseStream
at_first_byte = []

class Body:
    def open(self, prelude): pass
    def write(self, data, give_up_at): at_first_byte or at_first_byte.extend(sys.modules)
    def end(self, error, give_up_at): assert error is None, error
    def settle(self, give_up_at): pass

class Context:
    aws_request_id = "r-1"
    def get_remaining_time_in_millis(self): return 20_000

event = {"version": "2.0", "rawPath": "/chatCompletion", "rawQueryString": "message=hi&model=m",
         "headers": {"x-api-key": "k"}, "requestContext": {"http": {"method": "GET"}}}
stream = ResponseStream(Body())
app.handle.handle(event, stream, Context())
stream.finish()
stream.run_after_response()
print(json.dumps({"first_byte": at_first_byte, "end": list(sys.modules)}))
"""


@pytest.fixture(scope="module")
def replay() -> Iterator[ReplayUpstream]:
    with ReplayUpstream() as upstream:
        upstream.answer("m", Reply(answer("Hel", "lo")))
        yield upstream


def imported(replay: ReplayUpstream, **variables: str) -> tuple[set[str], set[str]]:
    """The modules imported before the first byte, and those imported at the end."""
    paths = [PROJECT / "shared", PROJECT / "functions" / "stream_chat"]
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "OPENAI_BASE_URL": replay.url,
        "AUTH_MODE": "keys",
        "CALLER_KEYS": f"web:{hashlib.sha256(b'k').hexdigest()}",
        "CALLERS_TABLE_NAME": "callers",  # not asked for a key that is listed
        "LIMITS_TABLE_NAME": "limits",
        "SETTINGS_JSON": "",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        **variables,
    }
    command = [sys.executable, "-c", PROGRAM]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout.splitlines()[-1])
    return set(seen["first_byte"]), set(seen["end"])


def test_without_a_companion_nothing_unneeded_is_ever_imported(replay: ReplayUpstream) -> None:
    first_byte, end = imported(replay)
    assert first_byte & (NOT_BEFORE | AFTER_THE_ANSWER | PRICES) == set()
    assert end & (NOT_BEFORE | OTHER_ROUTES | OF_OTHER_MODES | {"observability.metrics"}) == set()


def test_prices_are_read_after_the_answer_even_if_callers_may_see_the_cost(replay: ReplayUpstream) -> None:
    first_byte, end = imported(replay, USAGE_COST="true")
    assert first_byte & PRICES == set()
    assert end >= {"pricing.cost", "pricing.price_file"}


@pytest.mark.parametrize(("limit", "reads_prices"), [("TOKENS_PER_DAY", False), ("USD_PER_DAY", True)])
def test_prices_are_read_before_the_answer_only_for_a_budget_in_money(
    replay: ReplayUpstream, limit: str, *, reads_prices: bool
) -> None:
    dead = {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1", "AWS_DEFAULT_REGION": "us-east-1"}
    table = {"LIMITS_UNREACHABLE": "admit", **dead}
    prices = {"MODEL_PRICES": '{"m": {"input": 1, "output": 2}}', limit: "1000"}
    first_byte, _ = imported(replay, **table, **prices)
    assert {"quota.rate_limits", "quota.counters"} <= first_byte
    assert bool(first_byte & {"quota.money", "pricing.cost", "pricing.price_file"}) is reads_prices


def test_with_a_companion_boto3_is_imported_after_the_first_byte(replay: ReplayUpstream) -> None:
    dead = "http://127.0.0.1:1"
    companion = {"TRANSCRIPT_FUNCTION_NAME": "companion", "AWS_ENDPOINT_URL_LAMBDA": dead}
    first_byte, end = imported(replay, **companion)
    assert first_byte & NOT_BEFORE == set()
    assert "boto3" in end


def test_with_metrics_powertools_is_imported_after_the_response(replay: ReplayUpstream) -> None:
    first_byte, end = imported(replay, METRICS="on")
    assert first_byte & (NOT_BEFORE | {"observability.metrics"}) == set()
    assert {"aws_lambda_powertools.metrics", "observability.metrics"} <= end
