from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_stream.error_report import ErrorReport
from lambda_stream.runtime_api import MAX_TRAILER_BYTES, error_trailers

any_text = st.text(st.characters(), max_size=50) | st.builds(lambda text: text * 500, st.text(max_size=20))


@given(any_text, any_text, st.lists(any_text, max_size=30))
def test_trailers_are_two_ascii_lines_within_the_limit_whatever_the_error(
    error_type: str, message: str, stack_trace: list[str]
) -> None:
    trailers = error_trailers(ErrorReport(error_type, message, stack_trace), "r-1")
    assert len(trailers) <= MAX_TRAILER_BYTES
    first, second, rest = trailers.decode("ascii").split("\r\n")
    assert first.isprintable()
    assert first.split(": ", 1)[1].strip(), "a blank type could be taken for no error"
    assert rest == ""
    error = json.loads(base64.b64decode(second.split(": ")[1], validate=True))
    assert message.startswith(error["errorMessage"])
    assert stack_trace[len(stack_trace) - len(error["stackTrace"]) :] == error["stackTrace"]


@pytest.mark.parametrize("blank", ["", " ", "\t\r\n", " " * 300])
def test_a_blank_error_type_is_replaced(blank: str) -> None:
    first, *_ = error_trailers(ErrorReport(blank, ""), "r-1").split(b"\r\n")
    assert first == b"Lambda-Runtime-Function-Error-Type: Error"


def test_an_error_that_fits_is_not_shortened() -> None:
    report = ErrorReport("E", "m", ["a", "b"])
    error = json.loads(base64.b64decode(error_trailers(report, "r-1").split(b": ")[-1]))
    assert error == report.document("r-1")
