"""Handlers that tests of the runtime run in real runtime processes; the event says what to do."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from lambda_stream import CallerGoneError, LambdaContext, ResponseStream, Watchdog, streaming_handler

_callbacks_run: list[str] = []
_callbacks_run_at: list[float] = []


class GrößenError(Exception):
    """An exception whose name is not valid in an HTTP header."""


@streaming_handler
def handle(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    """Do what `event["do"]` names."""
    stream.after_response(lambda: _callbacks_run.append(str(event["do"])))
    stream.after_response(lambda: _callbacks_run_at.append(time.monotonic()))
    _ACTIONS[event["do"]](event, stream, context)


def plain(event: Any, context: LambdaContext) -> Any:
    """An ordinary handler, as for the stock runtime."""
    if event == "raise":
        raise ValueError("not today")
    if event == "bytes":
        return b"\x00\x01"
    if event == "unmarshallable":
        return {"a": object()}
    if event == "decimal":
        return {"whole": Decimal("3"), "part": Decimal("0.5")}
    if event == "long":
        return "x" * 6_000_000
    if event == "exit":
        sys.exit(7)
    return {"event": event, "request_id": context.aws_request_id, "text": "ü"}


def _hello(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    stream.prelude_gap_s = event.get("gap_s", 0.0)
    if "limit_s" in event:
        stream.give_up_at = time.monotonic() + event["limit_s"]
    stream.start(201, {"content-type": "text/plain"}, cookies=["a=b; Secure", "c=d"])
    stream.write(b"hello ")
    stream.write(b"")
    stream.write(b"world")


def _log(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    logging.getLogger("app").warning("a word of %s", "warning", extra={"route": "/x"})
    logging.getLogger("app").info("by the way")
    context.log("verbatim\n")


def _state(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    import json

    client = context.client_context
    stream.start()
    state = {
        "request_id": context.aws_request_id,
        "function_arn": context.invoked_function_arn,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "trace_id": os.environ.get("_X_AMZN_TRACE_ID"),
        "tenant_id": context.tenant_id,
        "identity": context.identity.cognito_identity_id,
        "custom": client.custom if client else None,
        "app_title": client.client.app_title if client and client.client else None,
        "w3c": context.w3c(),
        "callbacks_run": _callbacks_run,
        "callbacks_run_at": _callbacks_run_at,
        "no_delay": _socket_of(stream).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
        "modules": sorted(sys.modules),
        "pid": os.getpid(),
        "threads": threading.active_count(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "resident_kib": _resident_kib(),
    }
    stream.write(json.dumps(state).encode())


def _socket_of(stream: ResponseStream) -> socket.socket:
    connected: socket.socket = stream._body._connection.sock  # type: ignore[attr-defined]
    return connected


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def _raise_before(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    raise ValueError("no answer\x00 ü" * event.get("times", 1))


def _raise_surrogate(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    raise ValueError("half a pair: \ud83d")


def _raise_in_removed_folder(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    folder = Path(event["folder"])
    os.chdir(folder)
    folder.rmdir()
    raise ValueError("nowhere")


def _start_badly(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    stream.start(Decimal(200))  # type: ignore[arg-type]


def _foreign_caller_gone(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    if event.get("started"):
        stream.start()
        stream.write(b"half an ans")
    raise CallerGoneError("of another connection")


def _hurried(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    stream.give_up_at = time.monotonic() + 0.2
    _hello(event, stream, context)


def _once_told(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    """Answer after someone has opened the fifo `event["fifo"]` for writing and closed it."""
    Path(event["fifo"]).read_bytes()
    _hello(event, stream, context)


def _raise_after(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    stream.start()
    stream.write(b"half an ans")
    raise GrößenError("it broke" * event.get("times", 1))


def _abort_before(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    stream.abort("Upstream.Interrupted", "no first word")


def _abort_after(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    stream.start()
    stream.write(b"half an ans")
    stream.abort("Upstream.Interrupted", "the model went away")
    stream.write(b"this never leaves")


def _slow(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    """Write without end, until the stream raises."""
    stream.start()
    while True:
        stream.write(b"x" * 65536)
        time.sleep(0.001)


def _watched(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    """Write only in the watchdog; end after five writes, or when it finds the caller gone."""
    done = threading.Event()
    written: list[int] = []

    def keep_alive() -> None:
        try:
            stream.write(b": still here\n")
            written.append(1)
        finally:
            if stream.gone or len(written) == 5:
                done.set()

    stream.start()
    with Watchdog(stream.lock) as watchdog:
        watchdog.add(lambda: None if done.is_set() else stream.last_write_at + 0.02, keep_alive)
        done.wait(20)
    stream.write(b"end")


def _callback_fails(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    def fail() -> None:
        raise RuntimeError("a callback that fails")

    stream.after_response(fail)
    stream.after_response(lambda: _callbacks_run.append("the one after"))


def _empty(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    """Return without a start."""


def _only_status(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    stream.start(event["status"])
    if event.get("abort"):
        stream.abort("Upstream.Interrupted", "no first word")


_ACTIONS = {
    "abort after": _abort_after,
    "abort before": _abort_before,
    "callback fails": _callback_fails,
    "empty": _empty,
    "foreign caller gone": _foreign_caller_gone,
    "hello": _hello,
    "hurried": _hurried,
    "log": _log,
    "once told": _once_told,
    "only status": _only_status,
    "raise after": _raise_after,
    "raise before": _raise_before,
    "raise in removed folder": _raise_in_removed_folder,
    "raise surrogate": _raise_surrogate,
    "slow": _slow,
    "start badly": _start_badly,
    "state": _state,
    "watched": _watched,
}
