"""A fault in the function's own code is reported with its traceback but without its message."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.project import PROJECT

PROMPT = "the-plan-that-nobody-may-read"

# What a runtime sees: the exception that leaves the handler, and the log of a callback after the response.
PROGRAM = """
import logging, sys, traceback
import app
from lambda_stream import ResponseStream
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)

class Body:
    def open(self, prelude): pass
    def write(self, data, give_up_at): pass
    def end(self, error, give_up_at): pass
    def settle(self, give_up_at): pass

class Context:
    aws_request_id = "r-1"
    def get_remaining_time_in_millis(self): return 20_000

def fail(*arguments, **named):
    raise KeyError(PROMPT)

PROMPT = sys.argv[2]
event = {"version": "2.0", "rawPath": "/chatCompletion", "rawQueryString": "message=" + PROMPT,
         "headers": {}, "requestContext": {"http": {"method": "GET"}}}
setattr(*{"handler": (app, "find_route", fail), "callback": (app.HANDOFF, "send", fail)}[sys.argv[1]])
stream = ResponseStream(Body())
try:
    app.handle.handle(event, stream, Context())
except Exception:
    traceback.print_exc(file=sys.stdout)
stream.finish()
stream.run_after_response()
"""


def output_of(place: str) -> str:
    paths = [PROJECT / "shared", PROJECT / "functions" / "stream_chat"]
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "OPENAI_BASE_URL": "http://127.0.0.1:1",
        "UPSTREAM_RETRIES": "0",
        "AUTH_MODE": "none",
    }
    command = [sys.executable, "-c", PROGRAM, place, PROMPT]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def test_an_exception_that_leaves_the_handler_has_lost_its_message() -> None:
    output = output_of("handler")
    assert "UnexpectedError: KeyError" in output
    assert "in handle" in output
    assert "/chatCompletion refused: 500 internal_error" in output
    assert PROMPT not in output


def test_an_exception_after_the_response_has_lost_its_message() -> None:
    output = output_of("callback")
    assert "a callback after the response failed" in output
    assert "UnexpectedError: KeyError" in output
    assert PROMPT not in output
