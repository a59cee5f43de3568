from __future__ import annotations

import traceback

import pytest

from log_privacy import UnexpectedError, redact_exceptions

PROMPT = "why is the sky blue"


@redact_exceptions(ConnectionError)
def fails(error: Exception) -> None:
    raise error


def test_an_unexpected_exception_keeps_its_type_and_traceback_and_loses_its_message() -> None:
    with pytest.raises(UnexpectedError) as raised:
        fails(KeyError(PROMPT))
    traced = "".join(traceback.format_exception(raised.value))
    assert "KeyError" in str(raised.value)
    assert "raise error" in traced
    assert PROMPT not in traced


def test_an_expected_exception_passes_unchanged() -> None:
    with pytest.raises(ConnectionResetError, match="by peer"):
        fails(ConnectionResetError("by peer"))


def test_an_exception_that_ends_the_process_passes() -> None:
    with pytest.raises(SystemExit), redact_exceptions():
        raise SystemExit(3)


def test_a_block_without_an_exception_runs_normally() -> None:
    with redact_exceptions():
        value = 1
    assert value == 1
