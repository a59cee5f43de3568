"""The local stack: what is started, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket

from local.child_process import OrphanGuard
from local.console import Terminal, transcript_line
from local.environment_pool import EnvironmentPool
from local.function_url import FunctionUrl, with_cors
from local.http_service import HttpService, listening_socket
from local.invoke_api import InvokeApi
from local.local_settings import PUBLISH_TRANSCRIPT, LocalSettings, publish_transcript, stream_chat
from local.queues import AUDIT, CONSOLE, TRANSCRIPTS, Queues
from local.scripted_model import scripted_model

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class PortTaken(Exception):  # noqa: N818
    """A port that the stack needs is in use; the message is for the person who started it."""


async def run(settings: LocalSettings, terminal: Terminal) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. Raises PortTaken, QueuesFailed."""
    stopped = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    url_socket = _bound(settings.port, "the function URL")
    _bound(settings.port + 1, "the queues").close()  # moto binds it itself, in its own process
    async with contextlib.AsyncExitStack() as on_exit:
        on_exit.callback(url_socket.close)
        serving = asyncio.create_task(_serve(settings, terminal, url_socket, on_exit))
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (serving, stopping):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def _serve(
    settings: LocalSettings, terminal: Terminal, url_socket: socket.socket, on_exit: contextlib.AsyncExitStack
) -> None:
    """Start everything, each part's end registered before the part begins; then print transcripts."""
    guard = OrphanGuard()
    await guard.start()
    on_exit.push_async_callback(guard.stop)

    queues = Queues(guard, settings.port + 1)
    on_exit.push_async_callback(queues.stop)
    await queues.start(settings.environ.get("PATH", ""))

    model = HttpService(scripted_model(settings.words_per_s), listening_socket())
    on_exit.push_async_callback(model.stop)
    model.start()

    endpoints = {"AWS_ENDPOINT_URL_SQS": queues.endpoint, "AWS_ENDPOINT_URL_S3": queues.endpoint}
    queue_urls = [queues.url(name) for name in (TRANSCRIPTS, AUDIT, CONSOLE)]
    companion_variables = settings.companion_variables(queue_urls)
    companion = EnvironmentPool(
        publish_transcript(settings, companion_variables, endpoints), guard, terminal.print_line
    )
    on_exit.push_async_callback(companion.stop)

    invoke_api = InvokeApi({PUBLISH_TRANSCRIPT: companion}, queues.dead_letter, terminal.print_line)
    invoke_service = HttpService(invoke_api.app, listening_socket())
    on_exit.push_async_callback(invoke_service.stop)
    on_exit.push_async_callback(invoke_api.stop)
    invoke_service.start()

    endpoints["AWS_ENDPOINT_URL_LAMBDA"] = invoke_service.url
    chat_variables = settings.chat_variables(f"{model.url}/v1")
    chat = EnvironmentPool(stream_chat(settings, chat_variables, endpoints), guard, terminal.print_line)
    url_service = HttpService(with_cors(FunctionUrl(chat.invoke, terminal.print_line)), url_socket)
    on_exit.push_async_callback(url_service.stop)
    on_exit.push_async_callback(chat.stop)  # ends first: what streams is broken off, then the servers close
    chat.start()
    companion.start()

    await queues.make_queues()
    await chat.first_is_settled.wait()
    url_service.start()
    _greet(settings, terminal, url_service, queues)
    await _print_transcripts(queues, terminal)


def _greet(settings: LocalSettings, terminal: Terminal, url_service: HttpService, queues: Queues) -> None:
    model = "the upstream that you set" if settings.has_upstream else "a scripted model (no OPENAI_API_KEY)"
    greeting = (
        f"ready: {url_service.url}/",
        f"  try:      curl -N '{url_service.url}/chatCompletion?message=hello'{settings.key_hint}",
        f"  model:    {model}",
        f"  queues:   {queues.url(TRANSCRIPTS)}",
        f"            {queues.url(AUDIT)}",
        f"  endpoint: {queues.endpoint}",
    )
    terminal.print_line(*greeting)


async def _print_transcripts(queues: Queues, terminal: Terminal) -> None:
    """One line for each transcript that reaches the queues. Raises QueuesFailed when their server ends."""
    while True:
        for message in await queues.receive_transcripts():
            terminal.print_line(transcript_line(message))


def _bound(port: int, purpose: str) -> socket.socket:
    try:
        return listening_socket(port)
    except OSError as error:
        raise PortTaken(
            f"Port {port}, which {purpose} would use, is not free ({error.strerror}): "
            "stop what listens there or choose another with PORT=…"
        ) from error
