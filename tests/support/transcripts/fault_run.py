"""The fault run: transcripts through hand-off and companion while AWS fails calls and processes are killed.

The hand-off runs here, in threads; the companion in real processes behind an emulated Invoke. Their AWS calls
go through the faulty proxy. Calls by Lambda itself, and those that check the results, bypass it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TextIO
from unittest import mock

import boto3

from handoff.handoff import Handoff
from local.lambda_service.environment import FunctionDefinition
from local.settings import (
    PUBLISH_TRANSCRIPT,
    REDRIVE_TRANSCRIPTS,
    LocalSettings,
    deployed_function,
    without_proxies,
)
from settings import Settings
from tests.support.aws.loopback_aws import Kills, LoopbackAws
from tests.support.network.faulty_proxy import PASSED, SHARES, Calls, Fault, FaultyProxy
from tests.support.transcripts.delivery_audit import Audit, Sighting, audit, audit_table, calls_table, table
from tests.support.transcripts.sample_transcripts import sample_transcript
from tests.support.transcripts.transcript_places import BUCKET, DEAD_LETTERS, ROUTES, TABLE, TranscriptPlaces

REMAINING_S = 60.0
# moto's server scans all messages of a queue whenever one is sent, so the queues are emptied after each
# round. Nothing is sent meanwhile: moto deletes by replacing the list of messages, and would lose new ones.
ROUND = 1000
QUIET_S = 2.0  # enough for calls whose caller has given up to take effect
REDRIVES = 10
RETRY_DELAYS_S = (0.5, 1.0)


@dataclass(frozen=True, slots=True)
class RunSize:
    """The size of a run, and the rate of its faults.

    Attributes:
        senders: threads that hand off, each like one environment of the streaming function.
        environments: parallel companion processes.
        companion_timeout_s: the function's timeout. A call that hangs may use all of it.
        kill_pause_s: the average time between two kills.
        hurried_every: one in this many answers ends at the function's deadline, together with its process.
        hurried_s: the time left for such a hand-off. The shorter it is, the more transcripts are only logged.
        shares: the share of each fault among all calls.
    """

    transcripts: int
    senders: int
    environments: int
    companion_timeout_s: float
    kill_pause_s: float
    hurried_every: int
    hurried_s: float
    shares: Mapping[Fault, float] = field(default_factory=lambda: SHARES)


@dataclass(frozen=True, slots=True)
class FaultRunReport:
    """The result of a run.

    Attributes:
        after_faults: an account of each queue, of the dead letters and of the log.
        after_redrive: the same after the dead letters were redriven, without faults.
        logged: the number of transcripts in the log. The alarm's metric must have counted as many (`alarms`).
    """

    seed: int
    transcripts: int
    calls: Calls
    kills: Kills
    after_faults: Sequence[Audit]
    after_redrive: Sequence[Audit]
    logged: int
    alarms: int
    duration_s: float

    def faults(self) -> list[str]:
        """Messages about broken promises; empty if all were kept."""
        accounts = [*self.after_faults, *self.after_redrive]
        found = [f"{account.place}: {fault}" for account in accounts for fault in account.faults()]
        found += [
            f"{account.place}: {account.in_dead_letters} still missing after the redrive"
            for account in self.after_redrive
            if account.in_dead_letters
        ]
        if self.logged != self.alarms:
            found.append(f"{self.logged} transcripts in the log, but {self.alarms} counted as undelivered")
        return found

    def markdown(self) -> str:
        """The figures as a Markdown report."""
        run = [
            ("transcripts", self.transcripts),
            ("seed (FAULT_RUN_SEED)", self.seed),
            ("companion processes killed", self.kills.total),
            ("with an invocation under way", self.kills.under_way),
            ("duration", f"{self.duration_s:.0f} s"),
        ]
        return f"""
{table(("fault run", ""), run)}

{calls_table(self.calls, [PASSED, *Fault])}

After the faults:

{audit_table(self.after_faults)}

After the redrive of the dead letters:

{audit_table(self.after_redrive)}
"""


class _UndeliveredLog(logging.Handler):
    """Collects what the hand-off could only log: transcripts, or pointers to them, as JSON."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.documents: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        document = getattr(record, "undelivered_transcript", None)
        if document is not None:
            self.documents.append(json.dumps(document))


def fault_run_seed() -> int:
    """The seed in FAULT_RUN_SEED, or a new one."""
    return int(os.environ.get("FAULT_RUN_SEED") or random.randrange(1_000_000))


def fault_run(size: RunSize, seed: int, log: TextIO) -> FaultRunReport:
    """Start everything, run it, and check all places. The output of the processes goes to `log`."""
    started_at = time.monotonic()
    with contextlib.ExitStack() as on_exit:
        aws = on_exit.enter_context(LoopbackAws(lambda line: print(line, file=log)))
        places = TranscriptPlaces(aws)
        proxy = on_exit.enter_context(FaultyProxy(aws.url, aws.invoke_url, size.shares, seed))
        on_exit.enter_context(mock.patch.dict(os.environ, _handoff_environment(proxy.url)))
        # One session for all threads, which would otherwise all create it at the same time.
        on_exit.enter_context(mock.patch("boto3.DEFAULT_SESSION", boto3.Session()))
        aws.serve(_functions(size, places, proxy.url), places.keep_failed, RETRY_DELAYS_S)
        aws.kill_at_random(PUBLISH_TRANSCRIPT, size.kill_pause_s, seed)
        with _undelivered_log() as undelivered, contextlib.redirect_stdout(io.StringIO()) as metrics:
            expected, seen = _hand_off_all(size, seed, aws, places)
        aws.stop_killing()
        calls = proxy.calls()
        proxy.set_shares({})
        logged = [places.sighting(document) for document in undelivered.documents]
        after_faults = _audits(expected, seen, places.dead_letters(), logged)
        _redrive(aws, places)
        for name in ROUTES:
            seen[name] += places.take(name)
        return FaultRunReport(
            seed=seed,
            transcripts=size.transcripts,
            calls=calls,
            kills=aws.kills,
            after_faults=after_faults,
            after_redrive=_audits(expected, seen, places.dead_letters(), logged),
            logged=len(logged),
            alarms=metrics.getvalue().count('"UndeliveredTranscripts":'),
            duration_s=time.monotonic() - started_at,
        )


def _hand_off_all(
    size: RunSize, seed: int, aws: LoopbackAws, places: TranscriptPlaces
) -> tuple[dict[str, dict[str, str]], dict[str, list[Sighting]]]:
    """Hand off all transcripts and read the queues.

    Returns, by queue name, the expected transcripts (id → SHA-256) and the messages found.
    """
    expected: dict[str, dict[str, str]] = {name: {} for name in ROUTES}
    seen: dict[str, list[Sighting]] = {name: [] for name in ROUTES}
    settings = Settings(
        transcript_function_name=PUBLISH_TRANSCRIPT,
        transcript_bucket=BUCKET,
        transcript_dead_letter_queue_url=places.queue_urls[DEAD_LETTERS],
    )

    def send(numbers: range) -> None:
        handoff = Handoff(settings)
        for number in numbers:
            transcript = sample_transcript(seed, number)
            for name, (_, admits) in ROUTES.items():
                if admits(transcript):
                    expected[name][transcript.id] = Sighting.of(transcript).sha256
            if number % size.hurried_every:
                handoff.send(transcript, REMAINING_S)
            else:
                handoff.send(transcript, size.hurried_s)
                _end_process_of(handoff)
                handoff = Handoff(settings)
            while aws.asynchronous_invocations() > 2 * size.environments:
                time.sleep(0.05)  # so that retries need not wait for hundreds of others

    with ThreadPoolExecutor(size.senders) as senders:
        for start in range(0, size.transcripts, ROUND):
            end = min(start + ROUND, size.transcripts)
            list(senders.map(send, [range(start + at, end, size.senders) for at in range(size.senders)]))
            _wait_until_quiet(aws)
            for name in ROUTES:
                seen[name] += places.take(name)
            print(f"{end} handed off", file=sys.stderr, flush=True)
    return expected, seen


def _end_process_of(handoff: Handoff) -> None:
    """Simulate the end of a sender's process: calls that were given up continue, but send nothing more."""

    def refuse(**_: object) -> None:
        raise RuntimeError("this process has ended")

    for client in handoff._aws._made.values():
        client.meta.events.register("before-send", refuse)


def _wait_until_quiet(aws: LoopbackAws) -> None:
    quiet_since = time.monotonic()
    while time.monotonic() < quiet_since + QUIET_S:
        time.sleep(0.1)
        # A step of a hand-off that was given up continues in its thread and may still take effect.
        alone = any(thread.name == "hand-off" for thread in threading.enumerate())
        if alone or aws.asynchronous_invocations():
            quiet_since = time.monotonic()


def _redrive(aws: LoopbackAws, places: TranscriptPlaces) -> None:
    """Redrive as an operator does: again while letters are left. On a busy machine calls take too long."""
    functions = aws.client("lambda", aws.invoke_url)
    for _ in range(REDRIVES):
        if not places.dead_letters():
            break
        reply = functions.invoke(FunctionName=REDRIVE_TRANSCRIPTS, Payload=b"{}")
        assert "FunctionError" not in reply, reply["Payload"].read()


def _audits(
    expected: Mapping[str, Mapping[str, str]],
    seen: Mapping[str, Sequence[Sighting]],
    letters: Sequence[Sighting],
    logged: Sequence[Sighting],
) -> list[Audit]:
    accounts = [audit(name, expected[name], seen[name], letters, logged) for name in ROUTES]
    # Nothing is expected in these places, but what they have must be as sent.
    for place, rest in (("(dead letters)", letters), ("(log)", logged)):
        ids = {sighting.id for sighting in rest}
        accounts.append(
            audit(place, {id_: sent for id_, sent in expected["all"].items() if id_ in ids}, rest)
        )
    return accounts


@contextlib.contextmanager
def _undelivered_log() -> Iterator[_UndeliveredLog]:
    handler, logger = _UndeliveredLog(), logging.getLogger("handoff.handoff")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


def _handoff_environment(proxy_url: str) -> dict[str, str]:
    """The environment variables that the hand-off needs, as on Lambda."""
    return {
        **_endpoints(proxy_url),
        **without_proxies(os.environ),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
    }


def _functions(size: RunSize, places: TranscriptPlaces, proxy_url: str) -> list[FunctionDefinition]:
    settings = LocalSettings.from_environment({"PATH": os.environ["PATH"]})
    variables = {
        "TRANSCRIPT_ROUTES": places.routes,
        "TRANSCRIPT_BUCKET": BUCKET,
        "DELIVERY_TABLE_NAME": TABLE,
    }
    companion = dataclasses.replace(
        deployed_function(settings, PUBLISH_TRANSCRIPT, _endpoints(proxy_url) | variables),
        timeout_s=size.companion_timeout_s,
        max_environments=size.environments,
    )
    redrive_variables = {
        "UNDELIVERED_QUEUE_URL": places.queue_urls[DEAD_LETTERS],
        "TRANSCRIPT_FUNCTION_NAME": PUBLISH_TRANSCRIPT,
    }
    redrive_variables |= _endpoints(proxy_url)
    return [companion, deployed_function(settings, REDRIVE_TRANSCRIPTS, redrive_variables)]


def _endpoints(url: str) -> dict[str, str]:
    return {f"AWS_ENDPOINT_URL_{service}": url for service in ("LAMBDA", "SQS", "S3", "DYNAMODB")}
