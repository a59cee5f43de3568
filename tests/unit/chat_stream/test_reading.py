"""AnswerReader gives the same as parsing and decoding each event, in less time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import event as noted
from hypothesis import given
from hypothesis import strategies as st

from chat_stream.dialects.chat_completions.events import ChatCompletionDecoder
from chat_stream.dialects.dialect import EventDecoder, responses_dialect
from chat_stream.events import TextDelta
from chat_stream.reading import AnswerReader
from chat_stream.sse import MAX_EVENT_BYTES, EventTooLargeError
from tests.support.conformance_cases import SseVector, StreamCase, split, sse_vectors, stream_cases
from tests.support.plain_reading import PlainReader, check_reading
from tests.support.upstreams.hostile_streams import streams

DECODERS: dict[str, Callable[[], EventDecoder]] = {
    "chat": ChatCompletionDecoder,
    "responses": lambda: responses_dialect().decoder(1),
}


def text_event(text: str, delta: str = "", choice: str = "", chunk: str = "") -> bytes:
    """An event with this text, already escaped for JSON, and more fields in its delta, choice or chunk."""
    entry = f'{{"index":0,"delta":{{"content":"{text}"{delta}}}{choice}}}'
    return f'data: {{"id":"c","choices":[{entry}]{chunk}}}\n\n'.encode()


def padded_event(text: str, padding: str) -> bytes:
    return text_event(text, chunk=f',"obfuscation":"{padding}"')


# The first event also starts the answer; the second one is learned from.
FIRST = [text_event("x"), text_event("x")]


# -- the same result for any stream ------------------------------------------------------------------------


@pytest.mark.parametrize("case", stream_cases(), ids=lambda case: case.name)
def test_recorded_stream_is_read_as_by_the_plain_reader(case: StreamCase) -> None:
    for size in (5, 64, 400, 1500, None):
        check_reading(case.reads(size), DECODERS[case.expected["api"]])


@pytest.mark.parametrize("vector", sse_vectors(), ids=lambda vector: vector.name)
def test_vector_after_a_known_frame_is_read_as_by_the_plain_reader(vector: SseVector) -> None:
    for size in (1 if len(vector.body) < 20_000 else 100, 7, None):
        check_reading([*FIRST, text_event("y"), *split(vector.body, size), *FIRST, text_event("y")])
    check_reading([*FIRST, text_event("y") + vector.body + b"".join(FIRST)])


@given(streams(), st.sampled_from(["chat", "chat", "responses"]))
def test_any_stream_is_read_as_by_the_plain_reader(reads: list[bytes], dialect: str) -> None:
    in_runs = check_reading([*FIRST, *reads], DECODERS[dialect])
    noted("in runs" if in_runs else "no runs")


def test_events_of_an_answer_are_read_in_runs() -> None:
    words = ["Hel", "lo", " world", "\\n", '\\"', "é", "世界", "\\u4e16", "\\u003c"]
    events = [text_event(word) for word in words * 20]
    assert check_reading(FIRST + events) >= 0.7 * len(events)
    assert check_reading([*FIRST, *split(b"".join(events), 1500)]) >= 0.7 * len(events)
    assert check_reading([*FIRST, b"".join(events)]) >= 0.7 * len(events)
    assert check_reading([b"".join([*FIRST, *events])]) >= 0.7 * len(events)


# -- events that do not belong in a run --------------------------------------------------------------------

UNFIT: dict[str, Sequence[bytes]] = {
    "a surrogate pair over two texts": [text_event("a\\ud83d"), text_event("\\ude00b"), text_event("c")],
    "an end": [text_event("a", choice=',"finish_reason":"stop"'), text_event("b")],
    "an event in another dialect's form": [
        b'data: {"type":"error","message":"m","choices":[]}\n\n',
        text_event("a"),
    ],
    "a comment before it": [b": c\n\n" + text_event("a"), text_event("b"), b": c\n\n", text_event("d")],
    "a lone line end": [text_event("a")[:-1] + text_event("b"), text_event("c")],
}


@pytest.mark.parametrize("events", UNFIT.values(), ids=UNFIT.keys())
def test_events_that_do_not_fit_a_run_are_decoded(events: Sequence[bytes]) -> None:
    events = [*events, text_event("x"), text_event("y")]
    assert check_reading([*FIRST, text_event("y"), *events]) >= 1
    for size in (1, 7, 30, 200, None):
        check_reading([*FIRST, text_event("y"), *split(b"".join(events), size)])
    check_reading([*events, *events])


def test_responses_dialect_has_no_runs() -> None:
    # Its decoder keeps each text, and reads it from another field of the event.
    form = (
        b'data: {"type":"response.output_text.delta","delta":"%b","choices":[{"delta":{"content":"%b"}}]}\n\n'
    )
    reads = [form % texts for texts in ((b"a", b"a"), (b"a", b"a"), (b"a", b"b"), (b"a", b"c"))]
    assert check_reading(reads, DECODERS["responses"]) == 0


# -- events that are too large -----------------------------------------------------------------------------

TOO_MUCH = "x" * (MAX_EVENT_BYTES + 1)


@pytest.mark.parametrize(
    "read",
    [text_event(TOO_MUCH), text_event("a") + text_event(TOO_MUCH) + text_event("b"), TOO_MUCH.encode()],
    ids=["a", "b", "c"],
)
def test_event_that_is_too_large_is_refused_like_all_that_follows(read: bytes) -> None:
    reader = AnswerReader(ChatCompletionDecoder())
    for first in (*FIRST, text_event("y")):
        reader.feed(first)
    for refused in (read, text_event("a"), b"\n\n"):
        with pytest.raises(EventTooLargeError):
            reader.feed(refused)


def test_event_of_exactly_the_maximum_size_is_read() -> None:
    largest = text_event("x" * (MAX_EVENT_BYTES - len(text_event(""))))
    assert check_reading([*FIRST, largest]) == 1
    assert check_reading([*FIRST, largest + text_event("y")]) == 0


# -- time --------------------------------------------------------------------------------------------------


def usual(text: str) -> bytes:
    choice = ',"logprobs":null,"finish_reason":null'
    return text_event(text, choice=choice, chunk=f',"system_fingerprint":"{"f" * 120}"')


USAGE = b'data: {"choices":[],"usage":null}\n\n'
BEGINNING = [usual("x"), usual("x")]
# The bytes of one read, as a function of the number of events.
ONE_READ: dict[str, Callable[[int], bytes]] = {
    "text": lambda n: usual("x") * n,
    "every second event differs": lambda n: (usual("x") + USAGE) * (n // 2),
    "no event with text": lambda n: USAGE * n,
    "blank lines": lambda n: b"\n\n" * 4 * n,
    "comments": lambda n: b": c\n\n" * 2 * n,
    "empty texts": lambda n: usual("") * n,
    "empty texts after text": lambda n: (usual("x") + USAGE + usual("x") * 2 + usual("") * 20) * (n // 24),
    "invalid UTF-8 at the end": lambda n: usual("x") * n + b"data: \xff\n\n",
    "invalid UTF-8 in every second event": lambda n: (
        (usual("x") + usual("T").replace(b"T", b"\xff")) * (n // 2)
    ),
    "a control character in every second event": lambda n: (usual("x") + usual("\x01")) * (n // 2),
    "half of a surrogate pair in every second event": lambda n: (usual("x") + usual("\\ud83d")) * (n // 2),
    "an event that does not end": lambda n: usual("x" * 300 * n)[:-9],
    "line ends that end no event": lambda n: usual("x")[:-1] + b"id: 1\n" * 20 * n,
    "many contents after the text": lambda n: text_event(
        "x", choice=',"y":[' + ",".join(['{"content":"x"}'] * n) + "]"
    ),
    "many contents before the text": lambda n: (
        b'data: {"y":['
        + b",".join([b'{"content":"x"}'] * n)
        + b'],"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    ),
    "a new frame for every two events": lambda n: b"".join(
        2 * usual("x").replace(b"fff", b"%d" % i, 1) for i in range(n // 2)
    ),
    "a new frame for every event": lambda n: b"".join(
        usual("x").replace(b"fff", b"%d" % i, 1) for i in range(n)
    ),
}


def time_s(read: Callable[[], object]) -> float:
    """The best of three measurements, since the machine may be busy."""

    def run() -> float:
        started = time.process_time()
        read()
        return time.process_time() - started

    return min(run() for _ in range(3))


def reading_s(reader: type[AnswerReader] | type[PlainReader], reads: Sequence[bytes]) -> float:
    def read() -> None:
        one = reader(ChatCompletionDecoder())
        for data in reads:
            one.feed(data)

    return time_s(read)


@pytest.mark.parametrize("make", ONE_READ.values(), ids=ONE_READ.keys())
def test_reading_takes_linear_time_and_not_much_longer_than_the_plain_reader(
    make: Callable[[int], bytes],
) -> None:
    small, large = [*BEGINNING, make(400)], [*BEGINNING, make(1600)]
    taken_s = reading_s(AnswerReader, large)
    assert taken_s < 4 * reading_s(PlainReader, large) + 0.005
    assert taken_s < 10 * reading_s(AnswerReader, small) + 0.005


@pytest.mark.parametrize("size", [3, 50])
@pytest.mark.parametrize("event", [usual("x") * 100, usual("x" * 30_000)], ids=["short", "long"])
def test_small_reads_take_linear_time(event: bytes, size: int) -> None:
    small, large = [*BEGINNING, *split(event, size)], [*BEGINNING, *split(event * 4, size)]
    taken_s = reading_s(AnswerReader, large)
    assert taken_s < 4 * reading_s(PlainReader, large) + 0.005
    assert taken_s < 10 * reading_s(AnswerReader, small) + 0.005


@pytest.mark.parametrize("pad", [False, True])
def test_text_takes_less_than_half_the_time_of_the_plain_reader(pad: bool) -> None:
    events = [padded_event("word", "q" * (n % 7)) if pad else usual("word") for n in range(4000)]
    reads = [*events[:2], *split(b"".join(events), 64 * 1024)]
    assert reading_s(AnswerReader, reads) < 0.5 * reading_s(PlainReader, reads)


def test_run_is_one_text_delta_with_the_bytes_of_all_its_events() -> None:
    reader = AnswerReader(ChatCompletionDecoder())
    for first in FIRST:
        reader.feed(first)
    events = text_event("a") + text_event("b") + text_event("") + text_event("c")
    [run] = reader.feed(events + text_event("d")[:20])
    assert run.event.raw == events
    assert (run.event.event, run.event.data, run.event.id, run.event.retry) == ("message", "", "", None)
    assert (run.chat_events, run.deltas) == ((TextDelta(0, "abc"),), 3)
    assert reader.rest == text_event("d")[:20]
    [last] = reader.feed(text_event("d")[20:])
    assert (last.event.raw, last.chat_events, last.deltas) == (text_event("d"), [TextDelta(0, "d")], 1)


def test_run_has_the_event_id_and_reconnection_time_in_effect() -> None:
    reads = [b"id: 7\nretry: 5\n" + FIRST[0], FIRST[1], text_event("a") + text_event("b")]
    reader = AnswerReader(ChatCompletionDecoder())
    [run] = [reader.feed(read) for read in reads][-1]
    assert (run.event.id, run.event.retry, run.deltas) == ("7", 5, 2)
