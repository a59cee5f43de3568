"""How long the parser takes per event: `python -m tests.benchmarks.bench_sse`, with shared/ on the path."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from chat_stream.chat_completions import ChatCompletionDecoder
from chat_stream.sse import EventStreamParser

CHUNK = (
    b'{"id":"chatcmpl-T1","object":"chat.completion.chunk","created":1760000000,"model":"gpt-test",'
    b'"service_tier":"default","system_fingerprint":"fp_a1","usage":null,"obfuscation":"x2","choices":'
    b'[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"padding":"'
)
CHUNK += b"x" * (330 - len(b"data: \n\n") - len(CHUNK) - 2) + b'"}'
PLAIN = b"data: " + CHUNK + b"\n\n"
EVENTS = 20_000


def best_us_per_event(run: Callable[[], object]) -> float:
    """The best of five runs over all events, in microseconds per event."""

    def timed() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return min(timed() for _ in range(5)) / EVENTS * 1e6


def parse(event: bytes, read_bytes: int) -> None:
    """Feed all events in reads of a size, 0 for one event a read."""
    parser = EventStreamParser()
    body = event * EVENTS
    size = read_bytes or len(event)
    events = sum(len(parser.feed(body[start : start + size])) for start in range(0, len(body), size))
    assert events == EVENTS


def decode() -> None:
    """Decode all events, parsed before."""
    decoder = ChatCompletionDecoder()
    [event] = EventStreamParser().feed(PLAIN)
    for _ in range(EVENTS):
        decoder.decode(event)


def main() -> None:
    """Print one line per shape of event."""
    shapes = {
        "data line, LF": PLAIN,
        "data line, CRLF": PLAIN.replace(b"\n", b"\r\n"),
        "event and data line, LF": b"event: message\n" + PLAIN,
    }
    for name, event in shapes.items():
        each = best_us_per_event(lambda event=event: parse(event, 0))  # type: ignore[misc]
        large = best_us_per_event(lambda event=event: parse(event, 64 * 1024))  # type: ignore[misc]
        print(f"parse {name:24} {each:6.2f} µs one a read, {large:6.2f} µs in reads of 64 KiB")
    loads = best_us_per_event(lambda: [json.loads(CHUNK) for _ in range(EVENTS)])
    print(f"json.loads of its data         {loads:6.2f} µs")
    print(f"decode to chat events          {best_us_per_event(decode):6.2f} µs")


if __name__ == "__main__":
    main()
