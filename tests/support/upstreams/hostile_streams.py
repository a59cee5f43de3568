"""Streams of chat completions, ordinary and hostile, drawn by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.conformance_cases import cuts, split_at

KEY = "sk-a-key-of-the-usual-length"
ESCAPED_KEY = KEY.replace("s", "\\u0073", 1)

# TEXT, PADDING and TIME are replaced.
_FRAMES = (
    b'{"id":"c","object":"chat.completion.chunk","created":1764400000,"model":"m","choices":[{"index":0,"delta":'
    b'{"content":"TEXT"},"logprobs":null,"finish_reason":null}]}',
    b'{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}],"usage":null,'
    b'"obfuscation":"PADDING"}',
    b'{"choices": [{"delta": {"role": "assistant", "content": "TEXT", "tool_calls": []}, "index": 0}]}  ',
    b'{"id":"c","created":TIME,"choices":[{"index":0,"delta":{"content":"TEXT"}}]}',
)
_ODD_FRAMES = (
    b'{"choices":[{"index":1,"delta":{"content":"TEXT"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":"stop"}]}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}},{"index":0,"delta":{"content":"\\ud83d"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}},{"index":1,"delta":{"content":"b"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT","reasoning":"\\ud83d"}}]}',
    b'{"choices":[{"index":0,"delta":{"reasoning":"TEXT"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT","refusal":"\\ude00"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT","tool_calls":[{"index":0,"id":"i"}]}}]}',
    b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"j","function":{"arguments":"TEXT"}}]}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT","content":"TEXT"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"a"},"delta":{"content":"TEXT"}}]}',
    b'{"x":{"content":"TEXT"},"choices":[{"index":0,"delta":{"content":"a"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":"TEXT"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"a"},"message":{"content":"TEXT"}}]}',
    b'{"choices":[{"index":0,"delta":null,"message":{"content":"TEXT"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"TEXT"}]}}]}',
    b'{"obfuscation":"PADDING","choices":[{"index":0,"delta":{"content":"TEXT"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT","obfuscation":"PADDING"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}}],"obfuscation":"PADDING","obfuscation":"x"}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}}],"x":{"obfuscation":"PADDING"},"obfuscation":"y"}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}}],"error":{"message":"PADDING"}}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}}],"usage":{"total_tokens":3}}',
    b'{"choices":[],"usage":{"total_tokens":3}}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}}],"n":NaN}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}}],"n":' + b"1" * 4301 + b"}",
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}}],"n":' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}}],"n":"' + KEY.encode() + b'"}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}}],"n":"' + ESCAPED_KEY.encode() + b'"}',
    b'{"choices":[{"index":0,"delta":{"content":"TEXT"}}],"n":"\xff"}',
    b'{"type":"response.output_text.delta","delta":"a","choices":[{"delta":{"content":"TEXT"}}]}',
    b'{"type":"response.output_text.delta","delta":"TEXT"}',
    b'{"choices":{"index":0}}',
    b'"content":"TEXT"',
    b"[DONE]",
)
_USUAL_TEXTS = (
    "a", " b", ",", "\\n", '\\"', "é", "世界", "\\u4e16", "😀", "\\ud83d\\ude00", "\u2028", "\\\\",
)  # fmt: skip
_ODD_TEXTS = (
    *(b"", b"\\ud83d", b"\\uDE00", b"\\ude00\\ud83d", b"a\\ud83d"),
    *(b"\xff", b"\xe4\xb8", b"\x96", b"\xf0\x9f\x98", b"\x80", b"\xef\xbb\xbf"),
    *(b"\\", b'"', b"\0", b"\t", b"\r", b"\n", b"\x7f", b"\\x", b"\\u12", b"\\u0041", b"\\u003c", b"\\u00e9"),
    *(b'"}', b'","content":"b', b'"},"error":"e","x":{"y":"', b'"content":"', b"the text of another delta"),
    *(KEY.encode(), ESCAPED_KEY.encode(), KEY[:9].encode(), KEY[9:].encode()),
    _FRAMES[0].replace(b'"', b'\\"'),
)  # fmt: skip
_BEFORE = (
    b": c\n", b": c\n\n", b"event: error\n", b"event: x\n", b"id: 1\n", b"retry: 9\n", b"\n", b"\r",
    b"\xef\xbb\xbf",
)  # fmt: skip
_ENDS = (b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\n", b"\n\n\n", b"", b"\nid: 2\n\n", b"\ndata: x\n\n")

_texts = st.sampled_from([text.encode() for text in _USUAL_TEXTS])
_odd_texts = st.sampled_from(_ODD_TEXTS) | st.binary(max_size=4)


def _rarely(usual: st.SearchStrategy[bytes], odd: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.integers(0, 9).flatmap(lambda n: odd if n == 9 else usual)


@st.composite
def _event(draw: st.DrawFn, frame: bytes) -> bytes:
    text = draw(_rarely(_texts, _odd_texts))
    padding = draw(_rarely(st.sampled_from([b"", b"q", b"Zx8"]), _odd_texts))
    frame = draw(_rarely(st.just(frame), st.sampled_from([*_FRAMES, *_ODD_FRAMES])))
    time = draw(_rarely(st.just(b"1"), st.sampled_from([b"2", b"3"])))
    before = draw(_rarely(st.just(b""), st.sampled_from(_BEFORE)))
    end = draw(_rarely(st.just(b"\n\n"), st.sampled_from(_ENDS)))
    data = frame.replace(b"TIME", time).replace(b"TEXT", text).replace(b"PADDING", padding)
    return before + b"data: " + data + end


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """The reads of a stream most of whose events share one frame, with any part of them replaced at times."""
    frame = draw(st.sampled_from(_FRAMES) | st.sampled_from(_ODD_FRAMES))
    events = draw(st.lists(_event(frame), min_size=1, max_size=12))
    if draw(st.booleans()):  # a few complete events in each read, as usual
        sizes = draw(st.lists(st.integers(1, 4), min_size=len(events), max_size=len(events)))
        reads = []
        for size in sizes:
            reads.append(b"".join(events[:size]))
            events = events[size:]
        return reads
    body = b"".join(events)
    return split_at(body, draw(cuts(len(body))))
