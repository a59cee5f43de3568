"""The redrive of one queue: delivers as many letters as time allows and reports the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from aws_client import error_code
from chat_stream.transcripts.reader import Fetch, transcript_in
from chat_stream.transcripts.schema import InvalidTranscriptError
from dead_letters import AWS_ERRORS, CALL_LIMIT_S, DeadLetterQueue, Letter
from letter_destinations import Destination

HIDDEN_BEYOND_THE_END_S = 10  # a run must not receive a letter again after it failed to deliver it
MAX_LISTED = 100  # Lambda limits a response to 6 MB; the log has every letter

OUT_OF_TIME = "out of time"

logger = Logger(service="redrive-transcripts")


@dataclass(slots=True)
class RedriveReport:
    """The results for a queue's letters."""

    redriven: int = 0  # the number of letters that were delivered
    # Letters that are not transcripts of this stack, or damaged. They stay in the queue.
    refused: list[dict[str, Any]] = field(default_factory=list)
    # Letters that could not be delivered. They stay in the queue.
    failed: list[dict[str, Any]] = field(default_factory=list)
    # Letters that were delivered but are still in the queue: they will be delivered twice.
    not_deleted: list[dict[str, Any]] = field(default_factory=list)
    stopped: str | None = None  # why the run ended before the queue was empty; None if it did not

    def as_json(self) -> dict[str, Any]:
        """Return the report: for each kind of failure, the number of letters and the first of them."""
        report: dict[str, Any] = {"redriven": self.redriven}
        kinds = {"refused": self.refused, "failed": self.failed, "not_deleted": self.not_deleted}
        for kind, letters in kinds.items():
            report |= {f"{kind}_count": len(letters), kind: letters[:MAX_LISTED]}
        return report | {"finished": self.stopped is None, "stopped": self.stopped}


def redrive(
    queue: DeadLetterQueue, destination: Destination, fetch: Fetch, context: LambdaContext
) -> RedriveReport:
    """Receive and deliver letters until the queue is empty or too little time is left.

    A letter is deleted only after it has been delivered. The others can be received again as soon as this
    function returns.
    """
    report = RedriveReport()
    hidden: set[str] = set()  # receipt handles only, because a letter can have a megabyte
    try:
        while _has_time(context, destination):
            letters = queue.receive(int(_seconds_left(context)) + HIDDEN_BEYOND_THE_END_S)
            if not letters:
                break
            hidden.update(letter.receipt_handle for letter in letters)
            genuine = [
                letter
                for letter in letters
                if _has_time(context, destination) and _is_genuine(letter, destination, fetch, report)
            ]
            for batch in destination.batches(genuine):
                if not _has_time(context, destination):
                    break
                hidden -= _deliver(batch, queue, destination, report)
        else:
            report.stopped = OUT_OF_TIME
    except AWS_ERRORS as error:  # from `receive`; the letters before it are still reported
        report.stopped = error_code(error)
    still_hidden = queue.release(list(hidden))
    if still_hidden is not None:
        logger.warning("letters not released", extra={"queue": queue.name, "error": still_hidden})
    return report


def _deliver(
    letters: Sequence[Letter], queue: DeadLetterQueue, destination: Destination, report: RedriveReport
) -> set[str]:
    """Deliver, delete and report letters. Returns the receipt handles of those that were deleted."""
    faults = destination.deliver(letters)
    delivered = [letter for letter in letters if letter.message_id not in faults]
    kept = queue.delete(delivered)
    report.redriven += len(delivered)
    report.failed += _troubles("letter not redriven", letters, faults)
    report.not_deleted += _troubles("letter redriven but not deleted", letters, kept)
    return {letter.receipt_handle for letter in delivered if letter.message_id not in kept}


def _is_genuine(letter: Letter, destination: Destination, fetch: Fetch, report: RedriveReport) -> bool:
    """Whether the letter is a transcript as a consumer reads it. If it is not, it is added to the report."""
    try:
        transcript_in(destination.document_in(letter), fetch)
    except InvalidTranscriptError as error:
        report.refused.append(_trouble("letter refused", letter, str(error)))
    except AWS_ERRORS as error:
        report.failed.append(_trouble("letter not redriven", letter, error_code(error)))
    else:
        return True
    return False


def _has_time(context: LambdaContext, destination: Destination) -> bool:
    return _seconds_left(context) >= destination.limit_s + CALL_LIMIT_S  # to check a letter first


def _seconds_left(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000


def _troubles(what: str, letters: Sequence[Letter], faults: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        _trouble(what, letter, faults[letter.message_id]) for letter in letters if letter.message_id in faults
    ]


def _trouble(what: str, letter: Letter, fault: str) -> dict[str, Any]:
    trouble = {"message_id": letter.message_id, "transcript_id": letter.transcript_id, "error": fault}
    logger.error(what, extra=trouble)
    return trouble
