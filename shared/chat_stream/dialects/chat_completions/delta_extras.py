"""Reads from deltas what is not text: images, sources, and fields that the provider wants back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from chat_stream.dialects.chat_completions.deltas import REASONING_PARTS, REASONING_TEXTS
from chat_stream.events import ChatEvent, ImageReceived, ProviderField, ReasoningField, SourceCited
from chat_stream.json_values import list_in, object_in, strict, text_in
from chat_stream.memory_bound import OBJECT_BYTES, MemoryBound

# Fields other than REASONING_TEXTS that may hold reasoning: Mistral's content, and lists that the
# provider wants back anyway.
REASONING_ELSEWHERE = ("content", "reasoning_details", "thinking_blocks")

# Gemini's signatures are in `extra_content` (through LiteLLM: `provider_specific_fields`), OpenRouter's in
# `reasoning_details`, Anthropic's through LiteLLM in `thinking_blocks`, GitHub Copilot's is
# `reasoning_opaque` [kelivo#639, litellm#35021]. The fields of other gateways have such a word in their
# name.
_SEAL = re.compile(r"[a-z0-9_]{0,40}(signature|opaque|encrypted)[a-z0-9_]{0,40}", re.IGNORECASE | re.ASCII)
_MIXED = ("extra_content", "provider_specific_fields")
_LISTS = ("reasoning_details", "thinking_blocks")

_EXTENSIONS: Mapping[str, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "svg": "image/svg+xml",
    "avif": "image/avif",
}
_DATA_IMAGE = re.compile(r"data:(image/[a-z0-9.+-]{1,64})[;,]", re.IGNORECASE | re.ASCII)


def is_provider_field(name: str) -> bool:
    """Whether the provider wants this field of a message or tool call back unchanged."""
    return name in _MIXED or name in _LISTS or _SEAL.fullmatch(name) is not None


def call_fields(choice: int, call: int, fragment: Mapping[str, Any]) -> Iterator[ProviderField]:
    """The fields of a tool call fragment that the provider wants back."""
    for name, value in fragment.items():
        if is_provider_field(name):
            yield from _provider_field(choice, call, name, value)


class DeltaExtras:
    """Reads the deltas of one stream, in order, after the decoder has read their text.

    Raises AnswerTooLargeError if there are more images and sources than an answer can have.
    """

    def __init__(self, bound: MemoryBound) -> None:
        self._bound = bound
        self._seen: set[tuple[int, int]] = set()
        self._reasoning_named: set[int] = set()

    def fields_done_with(self, choice: int) -> frozenset[str]:
        """The fields that need not be looked at in later deltas of the choice."""
        return frozenset(REASONING_TEXTS) if choice in self._reasoning_named else frozenset()

    def of_delta(self, choice: int, delta: Mapping[str, Any]) -> Iterator[ChatEvent]:
        """The chat events in a delta, or in the message of an answer that was not streamed."""
        if choice not in self._reasoning_named and (name := _reasoning_field(delta)):
            self._reasoning_named.add(choice)
            if name != REASONING_TEXTS[0]:
                yield ReasoningField(choice, name)
        for part in list_in(delta.get("content")):
            if isinstance(part, dict) and part.get("type") == "image_url":
                yield from self._image(choice, part)
        for image in list_in(delta.get("images")):
            yield from self._image(choice, image)
        for annotation in map(object_in, list_in(delta.get("annotations"))):
            # Some upstreams send it flat, as in the Responses API.
            yield from self._source(choice, annotation.get("url_citation") or annotation)
        for name, value in delta.items():
            if is_provider_field(name):
                yield from _provider_field(choice, None, name, value)

    def of_chunk(self, chunk: Mapping[str, Any]) -> Iterator[ChatEvent]:
        """The sources at the top of a chunk, which Perplexity repeats on each one [litellm#13777]."""
        for name in ("search_results", "citations"):  # those with titles first
            for source in list_in(chunk.get(name)):
                yield from self._source(0, source)

    def _image(self, choice: int, image: Any) -> Iterator[ChatEvent]:
        url = object_in(image).get("image_url")
        url = text_in(url.get("url") if isinstance(url, dict) else url)
        media_type = _media_type(url) if url else None
        if url and media_type and self._is_new(choice, url):
            yield ImageReceived(choice, url, media_type)

    def _source(self, choice: int, source: Any) -> Iterator[ChatEvent]:
        fields = {"url": source} if isinstance(source, str) else object_in(source)
        url = text_in(fields.get("url"))
        if url and _is_web_address(url) and self._is_new(choice, url):
            yield SourceCited(choice, url, text_in(fields.get("title")))

    def _is_new(self, choice: int, url: str) -> bool:
        seen = (choice, hash(url))  # the hash, since data URLs of images are long
        if seen in self._seen:
            return False
        self._bound.take(OBJECT_BYTES)
        self._seen.add(seen)
        return True


def _reasoning_field(delta: Mapping[str, Any]) -> str | None:
    for name in REASONING_TEXTS:
        if delta.get(name):
            return name
    content = delta.get("content")
    parts = [content] if isinstance(content, dict) else list_in(content)
    if any(isinstance(part, dict) and part.get("type") in REASONING_PARTS for part in parts):
        return "content"
    return next((name for name in _LISTS if delta.get(name)), None)


def _seals(value: Any) -> Any:
    """The sealed fields of an object, at any depth, within the objects around them; None without any."""
    if not isinstance(value, dict):
        return None
    kept = {name: held if _SEAL.fullmatch(name) else _seals(held) for name, held in value.items()}
    return {name: held for name, held in kept.items() if held} or None


def _provider_field(choice: int, call: int | None, name: str, value: Any) -> Iterator[ProviderField]:
    """The field, unless it is empty or nested too deeply. The text of the delta is kept in any case."""
    try:
        # A message's `extra_content` may also mark its text as a thought, which must not be sent back.
        kept = _seals(value) if call is None and name in _MIXED else value
        own = strict({"value": kept})["value"]
    except RecursionError:
        return
    if own:
        yield ProviderField(choice, call, name, own)


def _media_type(url: str) -> str | None:
    """The media type of an image by its URL, `image/*` if the URL does not show it; None if it is no image.

    URLs of other schemes count as none: a page that opens a `javascript:` URL is worse than a missing image.
    """
    if data := _DATA_IMAGE.match(url):
        return data[1].lower()
    if not _is_web_address(url):
        return None
    extension = url.partition("?")[0].partition("#")[0].rpartition(".")[2].lower()
    return _EXTENSIONS.get(extension, "image/*")


def _is_web_address(url: str) -> bool:
    return url[:8].lower().startswith(("https://", "http://"))
