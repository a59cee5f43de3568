"""Counts answers and refusals, if METRICS asks for it. What it needs is imported after the response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chat_stream.transcripts.transcript import Transcript
from errors import RelayError
from observability.request_trace import RequestTrace
from settings import Settings

if TYPE_CHECKING:
    from observability.metrics import Measurement


class Meter:
    """Writes the metrics of docs/metrics.md to the log, where CloudWatch reads them. With METRICS=off, none.

    Every method is called when the response has ended.

    Args:
        settings: METRICS, and what bounds the dimensions: ALLOWED_MODELS and DEFAULT_MODEL.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_cold = True

    def answered(self, transcript: Transcript) -> None:
        """Measure an answer, whatever its outcome."""
        if self._settings.metrics != "off":
            from observability.metrics import of_answer

            self._write(of_answer(transcript.document, self._settings))

    def refused(self, error: RelayError, trace: RequestTrace, request_id: str) -> None:
        """Count a request that was refused."""
        if self._settings.metrics != "off":
            from observability.metrics import of_refusal

            self._write(of_refusal(error, trace, request_id, self._settings))

    def handoff_failed(self, request_id: str) -> None:
        """Count a transcript with which the companion could not be invoked."""
        if self._settings.metrics != "off":
            from observability.metrics import of_failed_handoff

            self._write(of_failed_handoff(request_id))

    def shutdown_warned(self, request_id: str) -> None:
        """Count a warning that the upstream will shut down a model in use."""
        if self._settings.metrics != "off":
            from observability.metrics import of_shutdown_warning

            self._write(of_shutdown_warning(request_id))

    def _write(self, measurement: Measurement) -> None:
        from observability.metrics import COLD_STARTS, write

        if self._is_cold:
            measurement.values[COLD_STARTS] = 1
            self._is_cold = False
        write(measurement, log_level=self._settings.log_level)
