"""The metrics, and how they are written: one line of CloudWatch's Embedded Metric Format for each group.

Names and units are those of OpenTelemetry's conventions for generative AI, wherever these have one. The
relay's own begin with `relay.`.
https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/client-inference.md
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

from aws_lambda_powertools.metrics import EphemeralMetrics

from chat_stream.transcripts.figures import answer_figures
from errors import RelayError
from observability.request_trace import RequestTrace
from settings import Settings
from settings_reading.wildcards import matches_any

NAMESPACE = "DeltaRelay"

FUNCTION = "FunctionName"  # every metric has this dimension
MODEL, CALLER, OUTCOME = "gen_ai.request.model", "caller", "outcome"
ERROR, STATUS = "error.type", "http.response.status_code"
OTHER = "_OTHER"  # OpenTelemetry's value for an `error.type` that is none of the known ones

COLD_STARTS = "relay.cold_starts"

# The reasons in transcripts that are the relay's own or OpenAI's. Other upstreams may invent any number.
KNOWN_REASONS = frozenset((
    "caller_gone", "deadline_exceeded", "empty_stream", "internal_error", "not_event_stream",
    "upstream_auth_failed", "upstream_error", "upstream_interrupted", "upstream_key_unavailable",
    "upstream_rate_limited", "upstream_refused", "upstream_timeout", "upstream_too_large",
    "upstream_unexpected_status", "upstream_unreachable", "upstream_unreadable",
    # why an answer is incomplete
    "content_filter", "length", "max_output_tokens", "max_tokens",
))  # fmt: skip


class Metric(NamedTuple):
    """One metric.

    Attributes:
        unit: as CloudWatch names it.
        dimensions: the sets by which it can be looked up, each together with FunctionName. A set with a
            dimension that is unknown is left out.
    """

    name: str
    unit: str
    dimensions: tuple[tuple[str, ...], ...]


_OF_ANSWER = ((), (MODEL,), (CALLER,))
_ALONE = ((),)

METRICS = (
    Metric("gen_ai.client.inference.duration", "Seconds", _OF_ANSWER),
    Metric("gen_ai.server.time_to_first_token", "Seconds", _OF_ANSWER),
    Metric("gen_ai.server.time_per_output_token", "Seconds", _OF_ANSWER),
    Metric("relay.output_tokens_per_second", "Count/Second", _OF_ANSWER),
    Metric("gen_ai.client.inference.usage.input_tokens", "Count", _OF_ANSWER),
    Metric("gen_ai.client.inference.usage.output_tokens", "Count", _OF_ANSWER),
    Metric("gen_ai.client.inference.usage.cache_read.input_tokens", "Count", _OF_ANSWER),
    Metric("gen_ai.client.inference.usage.reasoning.output_tokens", "Count", _OF_ANSWER),
    Metric("relay.cost_usd", "None", _OF_ANSWER),
    Metric("relay.upstream.attempts", "Count", _OF_ANSWER),
    Metric("relay.answers", "Count", ((OUTCOME,), (OUTCOME, MODEL), (OUTCOME, ERROR), (OUTCOME, CALLER))),
    Metric("relay.refusals", "Count", ((STATUS,), (STATUS, CALLER))),
    Metric("relay.handoff.failures", "Count", _ALONE),
    Metric("relay.model_shutdown_warnings", "Count", _ALONE),
    Metric(COLD_STARTS, "Count", _ALONE),
)


class Measurement(NamedTuple):
    """What one request adds to the metrics.

    Attributes:
        request_id: stands beside the metrics in the log.
        values: by the name of the metric.
        dimensions: by name, with None for unknown ones.
    """

    request_id: str
    values: dict[str, float]
    dimensions: Mapping[str, str | None]


def of_answer(document: Mapping[str, Any], settings: Settings) -> Measurement:
    """The measurement of an answer, given its transcript's document."""
    timings, caller, reason = document["timings"], document["caller"], document["reason"]
    figures = answer_figures(document)
    per_s, first_ms = figures.output_tokens_per_s, timings["time_to_first_token_ms"]
    values = {
        "gen_ai.client.inference.duration": timings["duration_ms"] / 1000,
        "gen_ai.server.time_to_first_token": None if first_ms is None else first_ms / 1000,
        "gen_ai.server.time_per_output_token": None if per_s is None else 1 / per_s,
        "relay.output_tokens_per_second": per_s,
        "gen_ai.client.inference.usage.input_tokens": figures.input_tokens,
        "gen_ai.client.inference.usage.output_tokens": figures.output_tokens,
        "gen_ai.client.inference.usage.cache_read.input_tokens": figures.cached_tokens,
        "gen_ai.client.inference.usage.reasoning.output_tokens": figures.reasoning_tokens,
        "relay.cost_usd": figures.cost_usd,
        "relay.upstream.attempts": document["upstream"]["attempts"],
        "relay.answers": 1,
    }
    return Measurement(
        document["id"],
        {name: value for name, value in values.items() if value is not None},
        {
            OUTCOME: document["outcome"],
            MODEL: model_dimension(document["request"]["model"], settings.for_caller(caller or "")),
            ERROR: None if reason is None else reason if reason in KNOWN_REASONS else OTHER,
            CALLER: _caller_dimension(caller, settings),
        },
    )


def of_refusal(error: RelayError, trace: RequestTrace, request_id: str, settings: Settings) -> Measurement:
    """The measurement of a request that was refused."""
    dimensions = {STATUS: str(error.status), CALLER: _caller_dimension(trace.caller, settings)}
    return Measurement(request_id, {"relay.refusals": 1}, dimensions)


def of_failed_handoff(request_id: str) -> Measurement:
    """The measurement of a transcript with which the companion could not be invoked."""
    return Measurement(request_id, {"relay.handoff.failures": 1}, {})


def of_shutdown_warning(request_id: str) -> Measurement:
    """The measurement of a warning that the upstream will shut down a model in use."""
    return Measurement(request_id, {"relay.model_shutdown_warnings": 1}, {})


def model_dimension(model: str | None, settings: Settings) -> str:
    """The entry of ALLOWED_MODELS (or DEFAULT_MODEL) that the model matches: a name, or a pattern as it is.

    A caller may invent names, and each would be a metric of its own, which is billed.
    """
    entries = (settings.default_model, *settings.allowed_models)
    found = [entry for entry in entries if entry == model]
    found += [entry for entry in entries if matches_any(model or "", [entry])]
    return _ascii(found[0]) if found else "other"


def _caller_dimension(caller: str | None, settings: Settings) -> str | None:
    return _ascii(caller) if caller and settings.metrics == "per-caller" else None


def _ascii(text: str) -> str:
    """The text as the value of a dimension: printable ASCII, at most 1024 characters, no colon in front."""
    escaped = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(letter if letter.isprintable() else "?" for letter in escaped).strip().lstrip(":")[:1024]


def write(measurement: Measurement, log_level: str) -> None:
    """Write the measurement to standard output, in one line for all metrics with the same dimensions.

    Args:
        log_level: Lambda drops JSON lines below the function's log level, and a line without a level counts
            as INFO. So metrics have the level that is always logged.
    """
    now = datetime.now(UTC)
    measured = [metric for metric in METRICS if metric.name in measurement.values]
    for sets, metrics in groupby(measured, key=lambda metric: metric.dimensions):
        line = EphemeralMetrics(namespace=NAMESPACE)
        line.service = ""  # POWERTOOLS_SERVICE_NAME would add a dimension, which no alarm knows
        for place, names in enumerate(sets):
            dimensions = {name: measurement.dimensions.get(name) for name in names}
            if all(dimensions.values()):
                _add_dimensions(line, place, {FUNCTION: _function_name(), **dimensions})
        for metric in metrics:
            line.add_metric(metric.name, metric.unit, measurement.values[metric.name])
        line.add_metadata("level", log_level)
        line.add_metadata("timestamp", now.isoformat(timespec="milliseconds"))
        line.add_metadata("requestId", measurement.request_id)
        # In one write, so that no other line gets in between.
        sys.stdout.write(json.dumps(line.serialize_metric_set(), separators=(",", ":")) + "\n")
        sys.stdout.flush()


def _add_dimensions(line: EphemeralMetrics, place: int, dimensions: Mapping[str, Any]) -> None:
    """Add a set of dimensions; Powertools takes the first of a line in another way than the others."""
    if place == 0:
        for name, value in dimensions.items():
            line.add_dimension(name, value)
    else:
        line.add_dimensions(**dimensions)


def _function_name() -> str:
    return os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local")
