"""Streaming handlers wrapped as tracing products do it: they answer buffered, with one warning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.runtime.recording_runtime_api import HANDLERS, runtime

# Each wraps the handler as the packages named beside it do.
WRAPPERS = """
import functools, types
from stream_handlers import handle

@functools.wraps(handle)
def by_wraps(event, context):  # aws_lambda_powertools, lumigo_tracer
    return handle(event, context)

class _WithoutWrapped:  # datadog_lambda
    def __init__(self, func):
        self.func = func
    def __call__(self, event, context, **kwargs):
        return self.func(event, context, **kwargs)

class _Proxy:  # wrapt: newrelic_lambda, opentelemetry-instrumentation-aws-lambda
    def __init__(self, wrapped):
        object.__setattr__(self, "_proxied", wrapped)
    def __call__(self, *args, **kwargs):
        return self._proxied(*args, **kwargs)
    def __getattr__(self, name):
        return getattr(self._proxied, name)
    @property
    def __class__(self):
        return type(self._proxied)

class _Endless:
    def __call__(self, event, context):
        return handle(event, context)
    def __getattr__(self, name):
        return self

by_class = _WithoutWrapped(handle)
by_proxy = _Proxy(handle)
by_bound_method = by_class.__call__
by_partial = functools.partial(by_class)
by_endless = _Endless()
by_lambda = lambda event, context: handle(event, context)
by_call = handle.__call__
twice = _WithoutWrapped(_Proxy(handle))
"""
NAMES = ("wraps", "class", "proxy", "bound_method", "partial", "endless", "lambda", "call")

TRACED = """
from lambda_stream import streaming_handler
from wrappers import _WithoutWrapped, _Proxy

def traced(event, context, *, stream):
    stream.start(200, {"content-type": "text/plain"})
    stream.write(b"traced")
    return {"statusCode": 200}

for wrap in (_WithoutWrapped, _Proxy):
    traced = wrap(traced)

@streaming_handler
def handle(event, stream, context):
    traced(event, context, stream=stream)
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "wrappers.py").write_text(WRAPPERS)
    (tmp_path / "inside.py").write_text(TRACED)
    return {"LAMBDA_TASK_ROOT": f"{tmp_path}:{HANDLERS}"}


@pytest.mark.parametrize("handler", [*(f"by_{name}" for name in NAMES), "twice"])
def test_a_hidden_streaming_handler_answers_buffered_with_one_warning(
    environ: dict[str, str], handler: str
) -> None:
    with runtime(f"wrappers.{handler}", environ) as (api, process):
        for _ in range(2):
            request = api.invoke({"do": "hello"})
            assert json.loads(request.body)["body"] == "hello world"
            assert "transfer-encoding" not in request.headers
        (line,) = process.log.splitlines()
    assert "[WARNING]" in line
    assert "a decorator above @streaming_handler hides it, and answers are buffered" in line
    assert f"the function's handler wrappers.{handler} calls stream_handlers.handle with" in line


def test_a_decorated_function_inside_the_streaming_handler_streams(environ: dict[str, str]) -> None:
    with runtime("inside.handle", environ) as (api, process):
        assert api.invoke({}).pieces == [b"traced"]
        assert process.log == ""


@pytest.mark.parametrize("handler", ["stream_handlers.handle", "stream_handlers.plain"])
def test_other_handlers_log_no_warning(handler: str) -> None:
    with runtime(handler) as (api, process):
        api.invoke({"do": "hello"})
        assert process.log == ""
