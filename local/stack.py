"""The local stack: what it starts, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from local.aws.archive_folder import ArchiveFolder
from local.aws.moto_server import MotoServer
from local.aws.services import ARCHIVE, CONSOLE, UNDELIVERED, AwsServices, AwsServicesError
from local.aws.undelivered_folder import UndeliveredFolder
from local.console import Terminal, greeting, transcript_line
from local.function_url.cors import allows, with_cors
from local.function_url.event import IamCaller, UrlRequest
from local.function_url.server import FunctionUrl
from local.lambda_service.environment_pool import EnvironmentPool
from local.lambda_service.event_source import SqsEventSource
from local.lambda_service.invocation import Invocation, InvocationError
from local.lambda_service.invocation_record import failure_record, unwrapped
from local.lambda_service.invoke_api import RETRY_DELAYS_S, InvokeApi
from local.model.scripted_model import scripted_model
from local.processes.child_process import OrphanGuard
from local.processes.http_service import HttpService, listening_socket
from local.records.function_log import FunctionLog
from local.settings import (
    COMPANION_ENVIRONMENTS,
    STREAM_CHAT,
    LocalSettings,
    LocalSettingsError,
    deployed_function,
)

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

STOP_LIMIT_S = 10.0  # for invocations in progress when the stack ends
REPORT_WAIT_AFTER_S = 1.0  # later, a waiting user is shown the reason


class PortInUseError(Exception):
    """A port that the stack needs is in use; the message is for the user who started it."""


async def run(settings: LocalSettings, terminal: Terminal, stop_signals: Iterable[signal.Signals]) -> bool:
    """Serve until one of the signals arrives; end at once when a second one does.

    Returns whether the stack has served: False if a signal arrived while it started. The signals are blocked
    afterwards. Raises PortInUseError, LocalSettingsError, AwsServicesError.
    """
    stop = _StopRequests()
    for number in stop_signals:
        asyncio.get_running_loop().add_signal_handler(number, stop.add)
    try:
        return await _run(settings, terminal, stop)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)  # their handlers end with the event loop


class _StopRequests:
    """The signals received so far: the first asks the stack to end, the second to end at once."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()

    def add(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def _run(settings: LocalSettings, terminal: Terminal, stop: _StopRequests) -> bool:
    with contextlib.ExitStack() as bound:
        url_socket = bound.enter_context(_bound(settings.port, "the function URL"))
        _bound(settings.port + 1, "SQS, S3 and DynamoDB").close()  # moto's own process binds it again
        invoke_socket = bound.enter_context(_bound(settings.port + 2, "Lambda's Invoke"))
        _make_folder("ARCHIVE_FOLDER", settings.archive_folder)
        _make_folder("LOG_FOLDER", settings.log_folder)
        async with contextlib.AsyncExitStack() as on_exit:
            stack = _Stack(settings, terminal, on_exit)
            serving = asyncio.create_task(stack.serve(url_socket, invoke_socket))
            stopping = asyncio.create_task(stop.first.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if stack.has_served:
                if not serving.done():
                    await _finish(stack, stop)
                await stack.save_undelivered()
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving
    return stack.has_served


async def _finish(stack: _Stack, stop: _StopRequests) -> None:
    """Finish what is in progress, for STOP_LIMIT_S or until the second signal."""
    finishing = asyncio.create_task(stack.finish())
    hurrying = asyncio.create_task(stop.second.wait())
    waiting = {finishing, hurrying}
    await asyncio.wait(waiting, timeout=STOP_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await finishing


class _Stack:
    """Everything that runs. Each part's end is registered before its start; the last to start ends first."""

    def __init__(
        self, settings: LocalSettings, terminal: Terminal, on_exit: contextlib.AsyncExitStack
    ) -> None:
        self._settings = settings
        self._terminal = terminal
        self._on_exit = on_exit
        self._log = FunctionLog(settings.log_folder, terminal.print_line, verbose=settings.verbose)
        on_exit.callback(self._log.close)
        self._guard = OrphanGuard()
        self._moto = MotoServer(self._guard, settings.port + 1)
        self._aws = AwsServices(settings.aws_endpoint, self._moto.last_lines)
        self._undelivered = UndeliveredFolder(
            settings.undelivered_folder, self._aws.fetch, terminal.print_line
        )
        self.has_served = False

    async def serve(self, url_socket: socket.socket, invoke_socket: socket.socket) -> None:
        """Start everything; then deliver transcripts to the terminal and the archive, until cancelled."""
        await self._guard.start()
        self._on_exit.push_async_callback(self._guard.stop)
        self._on_exit.push_async_callback(self._moto.stop)
        await self._moto.start(self._settings.environ.get("PATH", ""))

        companion, archive, redrive = (
            self._pool(name, self._settings.companion_variables(name)) for name in COMPANION_ENVIRONMENTS
        )
        folder = ArchiveFolder(self._settings.archive_folder, self._aws, self._terminal.print_line)
        self._archiving = SqsEventSource(
            self._aws, ARCHIVE, archive, self._terminal.print_line, folder.update
        )
        self._invoke_api = self._serve_invoke(invoke_socket, companion, archive, redrive)
        self._url_service, self._chat = self._function_url(url_socket)
        self._on_exit.push_async_callback(self._url_service.stop)
        # Ends before the server: answers in progress break off, then connections close.
        self._on_exit.push_async_callback(self._chat.stop)
        self._chat.start()

        await asyncio.gather(self._aws.connect(), self._moto.wait_until_listening())
        await self._aws.make_resources()
        await self._chat.first_is_settled.wait()
        for file, payload in self._undelivered.payloads():  # of earlier runs
            self._invoke_api.queue(companion, Invocation(payload), partial(file.unlink, missing_ok=True))
        self._url_service.start()
        self.has_served = True
        self._terminal.print_line(*greeting(self._settings, self._url_service.url))
        companion.start()  # only now: until here the other processes need the processor more
        await asyncio.gather(self._print_transcripts(), self._archiving.run())

    async def finish(self) -> None:
        """Accept no more requests, and deliver every transcript to the archive and the terminal."""
        waits = (
            f"ending within {STOP_LIMIT_S:.0f} s: delivering transcripts (press Ctrl-C again to end at once)"
        )
        loop = asyncio.get_running_loop()
        report = loop.call_later(REPORT_WAIT_AFTER_S, self._terminal.print_line, waits)
        try:
            await asyncio.gather(self._chat.break_off(), self._url_service.stop())
            await self._invoke_api.settle()
            await self._aws.wait_until_empty(ARCHIVE)
            await self._aws.wait_until_empty(CONSOLE)
        except AwsServicesError as error:
            self._terminal.print_line(f"[stack] {error}")
        finally:
            report.cancel()

    async def save_undelivered(self) -> None:
        """Write the transcripts that were not delivered to files, for the next run."""
        await self._chat.stop()  # first, so that nothing more is handed off
        for invocation in await self._invoke_api.stop():
            await asyncio.to_thread(self._undelivered.keep, invocation.payload, invocation.request_id)
        try:
            for queue in (UNDELIVERED, ARCHIVE):
                while messages := await self._aws.receive(queue, wait_s=0):
                    for message in messages:
                        await self._keep_message(message["Body"], message["MessageId"])
        except AwsServicesError as error:
            self._terminal.print_line(f"[stack] {error}")
        for record in list(self._archiving.undone.values()):
            await self._keep_message(record["body"], record["messageId"])

    async def _keep_message(self, body: str, message_id: str) -> None:
        payload = unwrapped(body.encode())
        await asyncio.to_thread(self._undelivered.keep, payload, message_id)

    def _function_url(self, bound: socket.socket) -> tuple[HttpService, EnvironmentPool]:
        """Start the scripted model. Returns the function URL on this socket and the function behind it."""
        model = HttpService(scripted_model(self._settings.words_per_s), listening_socket())
        self._on_exit.push_async_callback(model.stop)
        model.start()
        chat = self._pool(STREAM_CHAT, self._settings.chat_variables(f"{model.url}/v1"))
        return url_service(self._settings, chat, bound, self._terminal.print_line), chat

    def _serve_invoke(
        self, bound: socket.socket, companion: EnvironmentPool, *others: EnvironmentPool
    ) -> InvokeApi:
        """Start Lambda's Invoke on this socket. Events that the companion fails for good: UNDELIVERED."""

        async def keep(payload: bytes, request_id: str, failure: InvocationError) -> None:
            arn, invoke_count = companion.function.arn, len(RETRY_DELAYS_S) + 1
            record = failure_record(arn, payload, request_id, failure, invoke_count)
            try:
                await self._aws.send(UNDELIVERED, record)
            except AwsServicesError:
                await asyncio.to_thread(self._undelivered.keep, payload, request_id)

        pools = {pool.function.name: pool for pool in (companion, *others)}
        invoke_api = InvokeApi(pools, keep, self._terminal.print_line)
        service = HttpService(invoke_api.app, bound)
        self._on_exit.push_async_callback(service.stop)
        for pool in pools.values():  # these end before the service: callers who still wait get an error
            self._on_exit.push_async_callback(pool.stop)
        self._on_exit.push_async_callback(invoke_api.stop)
        service.start()
        return invoke_api

    def _pool(self, name: str, variables: dict[str, str]) -> EnvironmentPool:
        function = deployed_function(self._settings, name, self._settings.endpoints | variables)
        return EnvironmentPool(function, self._guard, self._log.printer(name))

    async def _print_transcripts(self) -> None:
        """Print a line for each published transcript. Raises AwsServicesError if moto's server ends."""
        while True:
            for message in await self._aws.receive(CONSOLE):
                line = await asyncio.to_thread(self._line, message)
                self._terminal.print_line(line)
                await self._aws.delete(CONSOLE, [message["ReceiptHandle"]])

    def _line(self, message: MessageTypeDef) -> str:
        try:
            return transcript_line(message, self._aws.fetch)
        except AwsServicesError as error:
            return f"[transcript] cannot be shown: {error}"


def _make_folder(name: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalSettingsError(f"{name} cannot be {folder} ({error.strerror})") from error


def url_service(
    settings: LocalSettings, chat: EnvironmentPool, bound: socket.socket, print_line: Callable[[str], None]
) -> HttpService:
    """The function URL in front of `chat` on this socket, with the CORS and AuthType of the settings."""
    authenticate: Callable[[UrlRequest], IamCaller] | None = None
    if settings.auth_mode == "iam":
        from local.function_url.signature import signed_caller  # here, because botocore loads slowly

        authenticate = signed_caller
    url = FunctionUrl(chat.invoke, print_line, authenticate)
    origins = settings.allowed_origins
    return HttpService(with_cors(url, origins), bound, partial(allows, origins))


def _bound(port: int, purpose: str) -> socket.socket:
    try:
        return listening_socket(port)
    except OSError as error:
        raise PortInUseError(
            f"Port {port}, needed for {purpose}, is not free ({error.strerror}): "
            "stop the program that listens there, or choose another port with PORT=…"
        ) from error
