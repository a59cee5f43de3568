from __future__ import annotations

import traceback

import pytest

from log_privacy import UnexpectedError, wordless_errors

PROMPT = "why is the sky blue"


@wordless_errors(ConnectionError)
def fails(error: Exception) -> None:
    raise error


def test_an_unexpected_error_keeps_its_type_and_its_place_and_loses_its_words() -> None:
    with pytest.raises(UnexpectedError) as raised:
        fails(KeyError(PROMPT))
    told = "".join(traceback.format_exception(raised.value))
    assert "KeyError" in str(raised.value)
    assert "raise error" in told
    assert PROMPT not in told


def test_one_that_the_caller_handles_stays_as_it_is() -> None:
    with pytest.raises(ConnectionResetError, match="by peer"):
        fails(ConnectionResetError("by peer"))


def test_what_ends_the_process_passes() -> None:
    with pytest.raises(SystemExit), wordless_errors():
        raise SystemExit(3)


def test_a_block_that_goes_well_is_not_disturbed() -> None:
    with wordless_errors():
        value = 1
    assert value == 1
