"""How many tokens a prompt takes of a budget before the upstream has counted them: an estimate and a bound.

A token is at least one byte of text, so the number of bytes is an upper bound; English has about four bytes a
token. A budget with only the bound would have room for a quarter of what callers really use, and one with
only the estimate could be overrun by text in which every byte is a token. So a request is admitted if its
estimate has room, and reserves its bound until the upstream has counted (rate_limits.py).

Images and files count as such only where the API reads them: in a content part of a user message, in the
`images` of an assistant message, or in the output of a tool in a Responses input. Anywhere else they are
text, whatever they look like: the schema or argument of a tool that is named `image_url`, a data URL in the
middle of a sentence, an image in a developer message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from request.openai_fields import CALLERS_TOOLS

# For English text in OpenAI's tokenizers, and within a factor of two for every language for which OpenAI has
# published figures: in other scripts a token has fewer characters, but each has more bytes.
BYTES_PER_TOKEN = 4

# Images are scaled down before they are counted, so their size in bytes is irrelevant. According to OpenAI's
# guide to images the largest has 8 tiles: 85 + 8 * 170 tokens for GPT-4o, 2833 + 8 * 5667 for GPT-4o mini.
# Models that count patches need fewer: GPT-4.1 nano has at most 1,536 patches of 2.46 tokens.
IMAGE_ESTIMATE = 1_445
IMAGE_BOUND = 48_169

# A tuple, because a `type` may be any JSON value, and not every value can be looked up in a set.
_TEXT_PARTS = (
    "text", "input_text", "output_text", "refusal", "reasoning_text", "summary_text", "thinking", "tool_use",
)  # fmt: skip
_INLINE_IMAGE = re.compile(r"data:image/[a-z0-9.+-]+;base64,[A-Za-z0-9+/=_\s-]*", re.IGNORECASE | re.ASCII)
_ADDRESS = re.compile(r"\s*[a-z][a-z0-9.+-]*://", re.IGNORECASE)
_IDS = ("file_id", "file_url", "id")
_ELSEWHERE = ("previous_response_id", "conversation", "prompt", "web_search_options")

# The punctuation around a JSON value, and the length of the longest number except huge integers.
_MARKS_BYTES = 4
_NUMBER_BYTES = 24


class PromptTokens(NamedTuple):
    """The tokens of a prompt."""

    estimate: int  # about as many tokens as ordinary text of this size has
    bound: int  # no prompt of this size has more
    # The field that refers to content stored elsewhere, which counts as a whole context window; None if there
    # is none.
    elsewhere: str | None = None


def prompt_tokens(request: Mapping[str, Any], context_tokens: int) -> PromptTokens:
    """The tokens of a request's prompt: at least 1, and at most a context window except with hosted tools.

    Names of fields count like text: they take about as much room as the tokens that models put around
    messages. Every parameter counts, because an unknown one may be part of the prompt. `request` is the body
    for the upstream, of either API; `context_tokens` is the largest context window of the allowed models.
    """
    counted = _Counted()
    for name, value in request.items():
        if name in ("messages", "input") and isinstance(value, list):
            counted.add_text(name)
            for index, item in enumerate(value):
                counted.add_item(item, f"{name}[{index}]")
        elif name == "tools":
            counted.add_text(name)
            counted.add_tools(value, name)
        else:
            counted.add_text({name: value})
            # Even an empty `web_search_options` enables the search.
            if name in _ELSEWHERE and (value or (name == "web_search_options" and value is not None)):
                counted.refer(name)
    return counted.tokens(context_tokens)


def text_tokens(values: Iterable[Any]) -> int:
    """An estimate of the tokens of texts; None counts as nothing."""
    counted = _Counted()
    for value in values:
        counted.add_text(value)
    return counted.estimate


class _Counted:
    def __init__(self) -> None:
        self._text_bytes = self._values = self._numbers = self._images = self._hosted_tools = 0
        self._has_file = False
        self._elsewhere: str | None = None

    @property
    def estimate(self) -> int:
        text = -(-self._text_bytes // BYTES_PER_TOKEN)
        return text + self._numbers + self._images * IMAGE_ESTIMATE

    def tokens(self, context_tokens: int) -> PromptTokens:
        text = self._text_bytes + self._values * _MARKS_BYTES + self._numbers * _NUMBER_BYTES
        estimate = max(min(self.estimate, context_tokens), 1)
        bound = min(text + self._images * IMAGE_BOUND, context_tokens)
        if self._has_file:  # a few bytes of PDF or video may expand to any length
            bound = context_tokens
        if self._elsewhere:
            estimate = bound = context_tokens * (1 + self._hosted_tools)
        return PromptTokens(estimate, max(estimate, bound), self._elsewhere)

    def refer(self, where: str) -> None:
        """Note a field that refers to content stored elsewhere."""
        self._elsewhere = self._elsewhere or where

    def add_item(self, item: Any, where: str) -> None:
        """Count a message or an input item of a Responses request."""
        if not isinstance(item, dict):
            self.add_text(item)
            return
        kind, role = item.get("type"), item.get("role")
        if kind == "item_reference" or (kind is None and role is None and item.get("id")):
            self.refer(where)
        is_output = isinstance(kind, str) and kind.endswith("_output")
        for name, held in item.items():
            if name in ("content", "output", "images") and isinstance(held, (list, dict)):
                self.add_text(name)
                reader = "user" if name == "content" else "assistant"
                reads_images = is_output if name == "output" else role == reader
                for part in held if isinstance(held, list) else [held]:
                    self._add_part(part, f"{where}.{name}", reads_images=reads_images)
            elif name == "tools" and kind != "mcp_list_tools":
                self.add_tools(held, f"{where}.{name}")
            elif name == "result" and kind == "image_generation_call" and isinstance(held, str):
                self._images += 1
            else:
                self.add_text({name: held})
                if name == "audio" and isinstance(held, dict) and held.get("id"):
                    self.refer(f"{where}.audio")  # an earlier spoken answer

    def _add_part(self, part: Any, where: str, *, reads_images: bool) -> None:
        self.add_text(part)
        if not isinstance(part, dict) or part.get("type") in _TEXT_PARTS:
            return
        image = _inline_image(part) if reads_images else None
        if image is not None:
            self._images += 1
            self._text_bytes -= len(image)
        elif _is_external(part):
            self.refer(where)
        else:
            self._has_file = True

    def add_tools(self, tools: Any, where: str) -> None:
        """Count the definitions of tools, and the tools that fetch content or call the model again."""
        self.add_text(tools)
        pending = list(tools) if isinstance(tools, list) else [tools]
        while pending:
            tool = pending.pop()
            if not isinstance(tool, dict):
                continue
            if tool.get("type") not in CALLERS_TOOLS:
                self._hosted_tools += 1
                self.refer(where)
            elif tool["type"] == "namespace" and isinstance(tool.get("tools"), list):
                pending += tool["tools"]

    def add_text(self, value: Any) -> None:
        """Count all content of a JSON value as text, including the names of fields."""
        pending = [value]  # no recursion: JSON may be nested deeper than Python's limit
        text_bytes = values = numbers = 0
        while pending:
            value = pending.pop()
            values += 1
            if isinstance(value, str):
                text_bytes += _utf8_bytes(value)
            elif isinstance(value, dict):
                values += len(value)
                text_bytes += sum(map(_utf8_bytes, value))
                pending.extend(value.values())
            elif isinstance(value, list):
                pending.extend(value)
            elif value is not None:
                numbers += 1
                if isinstance(value, int):  # about as many bytes as it has digits; most numbers have few
                    text_bytes += value.bit_length() * 3 // 10
        self._text_bytes += text_bytes
        self._values += values
        self._numbers += numbers


def _inline_image(part: Mapping[str, Any]) -> str | None:
    """The data URL of an image in the request itself, in the form of either API."""
    if part.get("type") not in ("image_url", "input_image", "computer_screenshot") or part.get("file_id"):
        return None
    held = part.get("image_url")
    url = held.get("url") if isinstance(held, dict) else held
    return url if isinstance(url, str) and _INLINE_IMAGE.fullmatch(url) else None


def _is_external(part: Mapping[str, Any]) -> bool:
    """Whether an image or file is referred to by an id or a URL, and not sent in the request."""
    pending: list[Any] = [part]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if any(isinstance(value.get(name), str) and value[name] for name in _IDS):
                return True
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, str) and _ADDRESS.match(value):
            return True
    return False


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
