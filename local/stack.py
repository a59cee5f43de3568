"""The local stack: what is started, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from local.archive_folder import ArchiveFolder
from local.aws_services import (
    ARCHIVE,
    AUDIT,
    CONSOLE,
    TRANSCRIPTS,
    UNDELIVERED,
    AwsServices,
    AwsServicesFailed,
)
from local.child_process import OrphanGuard
from local.console import Terminal, transcript_line
from local.environment import FunctionDefinition
from local.environment_pool import EnvironmentPool
from local.event_source import SqsEventSource
from local.function_url import FunctionUrl
from local.http_service import HttpService, listening_socket
from local.invocation import InvocationFailed
from local.invocation_record import failure_record
from local.invoke_api import RETRY_DELAYS_S, InvokeApi
from local.local_settings import (
    LocalSettings,
    LocalSettingsError,
    archive_transcripts,
    publish_transcript,
    redrive_transcripts,
    stream_chat,
)
from local.moto_server import MotoServer
from local.scripted_model import scripted_model
from local.url_cors import allows, with_cors
from local.url_signature import signed_caller

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

Definer = Callable[[LocalSettings, dict[str, str], dict[str, str]], FunctionDefinition]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class PortTaken(Exception):  # noqa: N818
    """A port that the stack needs is in use; the message is for the person who started it."""


async def run(settings: LocalSettings, terminal: Terminal) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. Raises PortTaken, LocalSettingsError, AwsServicesFailed."""
    stopped = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with contextlib.ExitStack() as bound:
        url_socket = bound.enter_context(_bound(settings.port, "the function URL"))
        _bound(settings.port + 1, "SQS, S3 and DynamoDB").close()  # moto binds it itself, in its own process
        invoke_socket = bound.enter_context(_bound(settings.port + 2, "Lambda's Invoke"))
        _make_folder(settings.archive_folder)
        async with contextlib.AsyncExitStack() as on_exit:
            stack = _Stack(settings, terminal, on_exit)
            serving = asyncio.create_task(stack.serve(url_socket, invoke_socket))
            stopping = asyncio.create_task(stopped.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (serving, stopping):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


class _Stack:
    """Everything that runs. Each part's end is registered before it begins; the last begun ends first."""

    def __init__(
        self, settings: LocalSettings, terminal: Terminal, on_exit: contextlib.AsyncExitStack
    ) -> None:
        self._settings = settings
        self._terminal = terminal
        self._on_exit = on_exit
        self._guard = OrphanGuard()
        self._moto = MotoServer(self._guard, settings.port + 1)
        self._aws = AwsServices(settings.aws_endpoint, self._moto.last_lines)

    async def serve(self, url_socket: socket.socket, invoke_socket: socket.socket) -> None:
        """Start everything; then take transcripts off the queues of the terminal and of the archive."""
        await self._guard.start()
        self._on_exit.push_async_callback(self._guard.stop)
        self._on_exit.push_async_callback(self._moto.stop)
        await self._moto.start(self._settings.environ.get("PATH", ""))

        companion = self._pool(publish_transcript, self._settings.companion_variables())
        archive = self._pool(archive_transcripts, self._settings.archive_variables())
        redrive = self._pool(redrive_transcripts, self._settings.redrive_variables())
        self._serve_invoke(invoke_socket, companion, archive, redrive)
        url_service, chat = self._function_url(url_socket)
        self._on_exit.push_async_callback(url_service.stop)
        self._on_exit.push_async_callback(chat.stop)  # first: what streams is broken off, then servers close
        chat.start()

        await asyncio.gather(self._aws.connect(), self._moto.until_it_listens())
        await self._aws.make_resources()
        await chat.first_is_settled.wait()
        url_service.start()
        self._greet(url_service.url)
        companion.start()  # not before: until here the others need the processor more
        await asyncio.gather(self._print_transcripts(), self._archive_transcripts(archive))

    def _function_url(self, bound: socket.socket) -> tuple[HttpService, EnvironmentPool]:
        """The function URL on this socket and the streaming function behind it, with its upstream served."""
        model = HttpService(scripted_model(self._settings.words_per_s), listening_socket())
        self._on_exit.push_async_callback(model.stop)
        model.start()
        chat = self._pool(stream_chat, self._settings.chat_variables(f"{model.url}/v1"))
        authenticate = signed_caller if self._settings.auth_mode == "iam" else None
        url = FunctionUrl(chat.invoke, self._terminal.print_line, authenticate)
        origins = self._settings.allowed_origins
        return HttpService(with_cors(url, origins), bound, partial(allows, origins)), chat

    def _serve_invoke(
        self, bound: socket.socket, companion: EnvironmentPool, *others: EnvironmentPool
    ) -> None:
        """Lambda's Invoke on this socket. What the companion fails at for good goes to UNDELIVERED."""

        async def keep(payload: bytes, request_id: str, failure: InvocationFailed) -> None:
            arn, invoke_count = companion.function.arn, len(RETRY_DELAYS_S) + 1
            record = failure_record(arn, payload, request_id, failure, invoke_count)
            await self._aws.send(UNDELIVERED, record)

        pools = {pool.function.name: pool for pool in (companion, *others)}
        invoke_api = InvokeApi(pools, keep, self._terminal.print_line)
        service = HttpService(invoke_api.app, bound)
        self._on_exit.push_async_callback(service.stop)
        for pool in pools.values():  # before that: whoever waits for an answer gets an error
            self._on_exit.push_async_callback(pool.stop)
        self._on_exit.push_async_callback(invoke_api.stop)
        service.start()

    def _pool(self, define: Definer, variables: dict[str, str]) -> EnvironmentPool:
        function = define(self._settings, variables, self._settings.endpoints)
        return EnvironmentPool(function, self._guard, self._terminal.print_line)

    def _greet(self, url: str) -> None:
        settings = self._settings
        model = (
            "the upstream that you set" if settings.has_upstream else "a scripted model (no OPENAI_API_KEY)"
        )
        self._terminal.print_line(
            f"ready: {url}/" + ("  (in a browser: the playground)" if settings.has_playground else ""),
            f"  try:      curl -N '{url}/chatCompletion?message=hello'{settings.key_hint}",
            f"  model:    {model}",
            f"  queues:   {settings.queue_url(TRANSCRIPTS)}",
            f"            {settings.queue_url(AUDIT)}",
            f"  archive:  {_as_seen_from_here(settings.archive_folder)}",
            f"  endpoint: {settings.aws_endpoint}",
            f"  lambda:   {settings.invoke_endpoint}",
        )

    async def _print_transcripts(self) -> None:
        """One line for each transcript that is published. Raises AwsServicesFailed if moto's server ends."""
        while True:
            for message in await self._aws.receive(CONSOLE):
                line = await asyncio.to_thread(self._line, message)
                self._terminal.print_line(line)
                await self._aws.delete(CONSOLE, [message["ReceiptHandle"]])

    def _line(self, message: MessageTypeDef) -> str:
        try:
            return transcript_line(message, self._aws.fetch)
        except AwsServicesFailed as error:
            return f"[transcript] cannot be shown: {error}"

    async def _archive_transcripts(self, archive: EnvironmentPool) -> None:
        """The archiving function's trigger, and its files. Raises AwsServicesFailed like the other."""
        folder = ArchiveFolder(self._settings.archive_folder, self._aws, self._terminal.print_line)
        await SqsEventSource(self._aws, ARCHIVE, archive, self._terminal.print_line, folder.update).run()


def _as_seen_from_here(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalSettingsError(f"ARCHIVE_FOLDER cannot be {folder} ({error.strerror})") from error


def _bound(port: int, purpose: str) -> socket.socket:
    try:
        return listening_socket(port)
    except OSError as error:
        raise PortTaken(
            f"Port {port}, which {purpose} would use, is not free ({error.strerror}): "
            "stop what listens there or choose another with PORT=…"
        ) from error
