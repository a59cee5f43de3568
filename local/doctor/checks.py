"""What `make doctor` checks, in this order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cached_property

from errors import UpstreamError
from local.doctor import exchanges
from local.doctor.exchanges import UpstreamReply
from local.doctor.pacing import Flow, flow, visible_tokens
from local.verdicts import Row, fault, not_tried, ok, unclear
from models.allowed_models import Model
from models.listing import upstream_models
from models.shutdown import is_soon, plain_name, shutdown_dates
from settings_reading.wildcards import matches_any
from upstream.client import Upstream
from upstream.failures import AUTH_FAILED

LIST_LIMIT_S = 20.0
NO_RESPONSES = (404, 405, 501)

KEY_ADVICE = "OPENAI_API_KEY must be valid there; Azure wants OPENAI_KEY_HEADER=api-key."
UNREACHABLE_ADVICE = "Check OPENAI_BASE_URL, the network, and the proxy variables (HTTPS_PROXY, NO_PROXY)."


class Examination:
    """What is known about the upstream so far; each question is asked once.

    Args:
        has_responses: whether the Responses API is needed.
        today: UTC.
    """

    def __init__(self, upstream: Upstream, *, has_responses: bool = True, today: date | None = None) -> None:
        self.upstream = upstream
        self.settings = upstream.settings
        self.has_responses = has_responses
        self.today = today or datetime.now(UTC).date()

    @cached_property
    def models(self) -> list[Model] | UpstreamError | None:
        """The upstream's list; None if it has none."""
        try:
            return upstream_models(self.upstream, LIST_LIMIT_S)
        except UpstreamError as error:
            return error

    @cached_property
    def completion(self) -> UpstreamReply:
        """The default model's answer in chat completions."""
        return exchanges.completion(self.upstream)

    @cached_property
    def names(self) -> list[str]:
        """The names of the listed models, as callers use them."""
        return [plain_name(model["id"]) for model in self.models] if isinstance(self.models, list) else []

    @property
    def models_in_use(self) -> list[str]:
        """The default model, the allowed models by name, and the listed ones that a pattern allows."""
        settings = self.settings
        named = [model for model in settings.allowed_models if "*" not in model]
        patterns = [model for model in settings.allowed_models if "*" in model]
        matching = [name for name in self.names if patterns and matches_any(name, patterns)]
        return list(dict.fromkeys([settings.default_model, *named, *matching]))


def key(examined: Examination) -> Iterator[Row]:
    """Whether the upstream is reached and takes the key. Some list their models to everybody."""
    reply = examined.completion
    subject = f"key for {examined.upstream.host}"
    if reply.error is not None and reply.error.code == AUTH_FAILED:
        yield fault(subject, f"is refused with status {reply.status}", KEY_ADVICE)
    elif reply.error is not None and reply.error.code == "upstream_key_unavailable":
        advice = "OPENAI_API_KEY_SECRET_ID must name a secret that you may read."
        yield fault(subject, "cannot be read", advice)
    elif reply.status is None:
        yield fault(subject, reply.reason, UNREACHABLE_ADVICE)
    elif examined.settings.openai_api_key or examined.settings.openai_api_key_secret_id:
        yield ok(subject, "is accepted")
    else:
        yield ok(subject, "none is needed")


def models(examined: Examination) -> Iterator[Row]:
    """Whether the models that callers get exist."""
    listed = examined.models
    if isinstance(listed, UpstreamError):
        yield fault("list of models", f"{listed.code}: {listed.message}", UNREACHABLE_ADVICE)
        return
    if listed is None:
        yield not_tried("models", "the upstream has no list of models (GET /models)")
        return
    settings = examined.settings
    for name in dict.fromkeys([settings.default_model, *settings.allowed_models]):
        subject = f"model {name}"
        matching = [model for model in examined.names if matches_any(model, [plain_name(name)])]
        if matching:
            yield ok(subject, "is listed" if "*" not in name else f"{len(matching)} are listed")
        elif examined.completion.error is None and name == settings.default_model:
            yield ok(subject, "is not listed, and answers")  # an alias, or a deployment of Azure's
        else:
            close = ", ".join(sorted(examined.names)[:5])
            advice = f"DEFAULT_MODEL and ALLOWED_MODELS must be names of this upstream, such as {close}."
            yield fault(subject, f"is not among the {len(listed)} models listed", advice)


def shutdowns(examined: Examination) -> Iterator[Row]:
    """When each model in use is shut down."""
    listed = examined.models
    if not isinstance(listed, list):
        return
    dates = shutdown_dates(listed)
    known = {name: dates[plain_name(name)] for name in examined.models_in_use if plain_name(name) in dates}
    if not known:
        yield ok("shutdowns", "none is announced in the list for the models in use")
    for name, day in sorted(known.items(), key=lambda item: item[1]):
        days = (day - examined.today).days
        if is_soon(day, examined.today):
            found = f"{day.isoformat()}, {'in' if days >= 0 else 'over'} {abs(days)} days"
            found += "" if days >= 0 else " ago"
            yield fault(f"shutdown of {name}", found, "Move to another model: DEFAULT_MODEL, ALLOWED_MODELS.")
        else:
            yield ok(f"shutdown of {name}", f"{day.isoformat()}, in {days} days")


def streaming(examined: Examination) -> Iterator[Row]:
    """Whether chat completions stream, and report their usage."""
    yield _stream_row(
        "chat completions stream", examined.completion, "Read the message, or try another model."
    )
    yield _usage(examined)


def responses(examined: Examination) -> Iterator[Row]:
    """Whether the Responses API works and streams."""
    subject = "responses stream"
    if not examined.has_responses:
        yield not_tried(subject, "RESPONSES=0")
        return
    reply = exchanges.response(examined.upstream)
    if reply.status in NO_RESPONSES and examined.completion.error is None:
        advice = "POST /v1/responses will fail here. If no caller needs it: RESPONSES=0."
        yield fault(subject, f"there is no Responses API (status {reply.status})", advice)
    else:
        yield _stream_row(subject, reply, "If no caller needs the Responses API: RESPONSES=0.")


def _stream_row(subject: str, reply: UpstreamReply, advice: str) -> Row:
    if reply.error is not None:
        return fault(subject, reply.reason, advice)
    if reply.is_document:
        found = "the upstream sends one document although events are requested"
        wait = "Callers wait for the whole answer: this upstream or model cannot stream."
        return fault(subject, found, wait)
    if not reply.reads:
        return fault(subject, "the answer has no text", "Try another DEFAULT_MODEL.")
    kind = flow(reply.reads, visible_tokens(reply.usage))
    deltas = sum(read.deltas for read in reply.reads)
    first_s, last_s = reply.reads[0].at_s, reply.reads[-1].at_s
    found = f"{deltas} deltas in {len(reply.reads)} reads, from {first_s:.2f} to {last_s:.2f} s"
    if kind is Flow.STREAMED:
        return ok(subject, found)
    if kind is Flow.TOO_SHORT:
        return unclear(subject, f"{found}: {kind.value}")
    buffers = "The upstream, or a gateway in front of it, buffers: callers see nothing until then."
    return fault(subject, f"{kind.value}: {found}", buffers)


def _usage(examined: Examination) -> Row:
    subject, reply = "usage", examined.completion
    if reply.error is not None or reply.is_document:
        refused = "stream_options" in reply.reason or "include_usage" in reply.reason
        if refused:
            return fault(subject, reply.reason, "This upstream refuses stream_options: INCLUDE_USAGE=false.")
        return not_tried(subject, "there was no streamed answer")
    if reply.usage is not None:
        return ok(subject, f"{visible_tokens(reply.usage)} tokens of the answer are reported")
    if not examined.settings.include_usage:
        return not_tried(subject, "INCLUDE_USAGE=false")
    advice = "The upstream ignores include_usage: token limits rely on estimates, and costs are unknown."
    return fault(subject, "is not reported, although it is requested", advice)


def examined_rows(examined: Examination) -> Iterator[Row]:
    """The rows of every check, each as soon as it is known. If the key is refused, nothing else is tried."""
    for row in key(examined):
        yield row
        if examined.completion.status is None or examined.completion.status in (401, 403):
            yield not_tried("everything else", "the upstream does not answer with this key")
            return
    for check in (models, shutdowns, streaming, responses):
        yield from check(examined)
