"""The runtime: it loads the handler, then repeats next → handle → respond, one invocation at a time."""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, TypeGuard

from .checked_values import max_concurrency
from .environment.log_format import RuntimeLog, runtime_log
from .error_report import ErrorReport, FaultError
from .invocation_context import LambdaContext
from .response_stream import CallerGoneError, ResponseAbortedError, ResponseStream, takes_cookies_as_headers
from .runtime_api import Invocation, RuntimeApi, RuntimeApiError, StreamedResponse
from .streaming_handler import StreamingHandler

_log = logging.getLogger("lambda_stream")

Handler = Callable[[Any, LambdaContext], Any]

INIT_FAILED_EXIT = 1
RUNTIME_API_GONE_EXIT = 1
_UNHANDLED_WARNING = (
    "LAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function code."
)


def main(environ: MutableMapping[str, str] = os.environ) -> int:
    """Run the function that the environment variables describe; returns the exit status.

    Reads `_HANDLER` ("module.function"), AWS_LAMBDA_RUNTIME_API, AWS_LAMBDA_MAX_CONCURRENCY,
    AWS_LAMBDA_INITIALIZATION_TYPE and the variables that `environment.log_format` names.
    """
    address = environ.get("AWS_LAMBDA_RUNTIME_API")
    if not address:
        sys.stderr.write(
            "lambda_stream: AWS_LAMBDA_RUNTIME_API is not set: this is not a Lambda environment\n"
        )
        return INIT_FAILED_EXIT
    try:
        api = RuntimeApi(address)
    except ValueError as error:
        sys.stderr.write(f"lambda_stream: AWS_LAMBDA_RUNTIME_API: {error}\n")
        return INIT_FAILED_EXIT
    slots = max_concurrency(environ)
    if slots is None:
        return run(api, environ)
    from .environment.process_slots import run_slots

    return run_slots(slots, lambda: run(api, environ), environ)


def run(api: RuntimeApi, environ: MutableMapping[str, str]) -> int:
    """Load the handler and serve invocations until the Runtime API is gone; returns the exit status."""
    log = runtime_log(environ)
    log.install()
    try:
        try:
            gc.disable()  # what a function loads stays: collecting meanwhile finds nothing
            handler = load_handler(environ.get("_HANDLER", ""))
        except Exception as error:  # noqa: BLE001  (the function's own code may raise anything while it is loaded)
            report = ErrorReport.of(error)
            _log.warning(_UNHANDLED_WARNING)
            log.report(report)
            api.post_init_error(report)
            return INIT_FAILED_EXIT
        gc.freeze()  # collections in the middle of an answer skip all that was loaded
        gc.enable()
        if not is_streaming(handler):
            StreamingHandler.hidden_by = environ.get("_HANDLER", "")
        if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            from .environment.snapstart import snapshot_and_restore

            exit_status = snapshot_and_restore(api, log)
            if exit_status is not None:
                return exit_status
        runtime = Runtime(api, handler, log, environ)
        while True:
            runtime.serve(api.next())
    except RuntimeApiError as error:
        sys.stderr.write(f"lambda_stream: {error}\n")
        return RUNTIME_API_GONE_EXIT


def load_handler(name: str) -> Handler:
    """Import and return the function that `name` ("package/module.function") names.

    Raises FaultError as the stock client does, and any other exception that the import of the module raises.
    """
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        raise FaultError(
            "Runtime.MalformedHandlerName",
            f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)",
        )
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise FaultError(
            "Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module_name} as a handler module"
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise FaultError(
            "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}"
        ) from error
    except SyntaxError as error:
        raise FaultError(
            "Runtime.UserCodeSyntaxError",
            f"Syntax error in module '{module_name}': {error}",
            [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'],
        ) from error
    try:
        handler: Handler = getattr(module, function_name)
    except AttributeError as error:
        raise FaultError(
            "Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'"
        ) from error
    return handler


def is_streaming(handler: object) -> TypeGuard[StreamingHandler]:
    """Whether `handler` itself is a streaming handler.

    `isinstance` would also be true for proxies such as wrapt's wrappers (New Relic, OpenTelemetry). Streaming
    from the handler inside would silently skip the wrapper's own work.
    """
    return issubclass(type(handler), StreamingHandler)


class Runtime:
    """Serves invocations with one handler; it streams if the handler is a `@streaming_handler`."""

    def __init__(
        self, api: RuntimeApi, handler: Handler, log: RuntimeLog, environ: MutableMapping[str, str]
    ) -> None:
        self._api = api
        self._handler = handler
        self._log = log
        self._environ = environ

    def serve(self, invocation: Invocation) -> None:
        """Handle and answer one invocation. Raises no `Exception`, but lets SystemExit through."""
        self._log.request_id, self._log.tenant_id = invocation.request_id, invocation.tenant_id
        self._environ.pop("_X_AMZN_TRACE_ID", None)
        if invocation.trace_id is not None:
            with suppress(ValueError):  # a value that no environment variable can hold is not a trace id
                self._environ["_X_AMZN_TRACE_ID"] = invocation.trace_id
        try:
            context = _context(invocation)
            event = _parse_event(invocation)
            invocation = invocation._replace(body=b"")  # frees up to 6 MB, now that the event is parsed
        except FaultError as fault:
            self._fail(invocation, ErrorReport.of(fault))
            return
        if is_streaming(self._handler) and self._handler.streams(event):
            self._serve_streamed(self._handler, invocation, event, context)
        else:
            self._serve_buffered(self._handler, invocation, event, context)

    def _serve_streamed(
        self, handler: StreamingHandler, invocation: Invocation, event: Any, context: LambdaContext
    ) -> None:
        stream = ResponseStream(
            StreamedResponse(self._api, invocation), cookies_as_headers=takes_cookies_as_headers(event)
        )
        error: ErrorReport | None = None
        try:
            handler.handle(event, stream, context)
        except ResponseAbortedError:
            pass  # `stream.aborted` is reported below
        except CallerGoneError as gone:
            # Unless the stream itself raised it (then this does nothing), the answer must not look whole.
            stream.abort(type(gone).__name__, str(gone))
        except Exception as raised:  # noqa: BLE001  (the handler's own)
            error = ErrorReport.of(raised)
            self._log.report(error, invocation.request_id)
        unanswered = stream.finish(error)
        if stream.gone:
            _log.info("the caller is gone: %s", stream.gone)
        elif stream.aborted:
            _log.warning("the answer was aborted: %s", stream.aborted)
        if unanswered:
            self._api.post_error(invocation, unanswered)
        stream.run_after_response()

    def _serve_buffered(
        self, handler: Handler, invocation: Invocation, event: Any, context: LambdaContext
    ) -> None:
        try:
            body, content_type = marshal(handler(event, context))
        except Exception as error:  # noqa: BLE001  (the handler's own)
            self._fail(invocation, ErrorReport.of(error))
        else:
            self._api.post_result(invocation, body, content_type)

    def _fail(self, invocation: Invocation, report: ErrorReport) -> None:
        self._log.report(report, invocation.request_id)
        self._api.post_error(invocation, report)


def marshal(result: Any) -> tuple[bytes, str]:
    """Return what a handler returned as a body and its content type: JSON, or bytes unchanged.

    Characters are not escaped, as with the stock client from Python 3.12 on. A Decimal becomes the nearest
    int or float; the stock client (by simplejson) writes all its digits. Raises FaultError
    (Runtime.MarshalError).
    """
    if isinstance(result, bytes):
        return result, "application/unknown"
    try:
        return json.dumps(result, ensure_ascii=False, default=_marshal_special).encode(), "application/json"
    except Exception as error:
        raise FaultError("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def _marshal_special(value: object) -> int | float:
    from decimal import Decimal

    if not isinstance(value, Decimal):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)


def _parse_event(invocation: Invocation) -> Any:
    if invocation.content_type.partition(";")[0].strip().lower() != "application/json":
        return invocation.body
    if not invocation.body:
        return {}  # Lambda itself sends {} for an empty event; emulators send an empty body
    try:
        return json.loads(invocation.body)
    except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply
        raise FaultError("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from error


def _context(invocation: Invocation) -> LambdaContext:
    return LambdaContext(
        invocation.request_id,
        deadline_epoch_ms=invocation.deadline_epoch_ms,
        function_arn=invocation.function_arn,
        client_context=invocation.client_context,
        cognito_identity=invocation.cognito_identity,
        tenant_id=invocation.tenant_id,
    )
