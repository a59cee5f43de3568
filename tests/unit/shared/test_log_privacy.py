from __future__ import annotations

import sys
import traceback
from functools import partial

import pytest

from log_privacy import UnexpectedError, redacted

PROMPT = "why is the sky blue"


@partial(redacted, expected=(ConnectionError,))
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
    with pytest.raises(SystemExit):
        redacted(sys.exit)(3)


def test_a_function_without_an_exception_runs_normally() -> None:
    assert redacted(max)(1, 2) == 2
