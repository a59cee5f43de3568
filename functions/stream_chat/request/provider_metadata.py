"""What a provider needs back in the next turn, carried by `useChat` in the metadata of a message's parts.

Reasoning models sign their reasoning and tool calls, and refuse the next turn without the signatures. A
client of the AI SDK keeps the `providerMetadata` of a part and sends it back unread; that of a tool call
returns as `callProviderMetadata`, and that of a failed call as `resultProviderMetadata` from version 6 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from chat_stream.dialects.chat_completions.chunk_merging import PartList, merge_fields
from chat_stream.dialects.chat_completions.delta_extras import REASONING_ELSEWHERE, is_provider_field
from chat_stream.dialects.chat_completions.deltas import REASONING_TEXTS
from chat_stream.events import ProviderField
from chat_stream.json_values import object_in
from chat_stream.memory_bound import STATE_BYTES, MemoryBound
from errors import RequestError

Metadata = dict[str, dict[str, Any]]

_OWN = "deltaRelay"
_REASONING_FIELDS = (*REASONING_TEXTS, *REASONING_ELSEWHERE)


class CarriedFields:
    """Collects an answer's fields for its provider, and returns them as metadata of UI message parts."""

    def __init__(self) -> None:
        self._bound = MemoryBound()
        self._holders: dict[int | None, _Holder] = {}

    def add(self, event: ProviderField) -> None:
        """Take the next event. Raises AnswerTooLargeError."""
        holder = self._holders.get(event.call)
        if holder is None:
            self._bound.take(STATE_BYTES)
            holder = self._holders[event.call] = _Holder(self._bound)
        holder.add(event.name, event.value)

    def of_call(self, call: int) -> Metadata:
        """The metadata of a tool call, with Google's signature in the form of the AI SDK's own packages."""
        fields = self._fields(call)
        extra = object_in(fields.get("extra_content"))
        signature = object_in(extra.get("google")).get("thought_signature")
        if not isinstance(signature, str):
            return {_OWN: {"toolCall": fields}} if fields else {}
        google = {"google": {"thoughtSignature": signature}}
        if extra == {"google": {"thought_signature": signature}}:
            del fields["extra_content"]
        return {**google, _OWN: {"toolCall": fields}} if fields else google

    def of_message(self) -> Metadata:
        """The metadata of the message, with OpenRouter's details as its package for the AI SDK has them."""
        fields = self._fields(None)
        details = fields.pop("reasoning_details", None)
        metadata: Metadata = {"openrouter": {"reasoning_details": details}} if details else {}
        return {**metadata, _OWN: {"message": fields}} if fields else metadata

    def _fields(self, call: int | None) -> dict[str, Any]:
        holder = self._holders.get(call)
        return holder.document() if holder else {}


class _Holder:
    def __init__(self, bound: MemoryBound) -> None:
        self._bound = bound
        self._lists: dict[str, PartList] = {}
        self._fields: dict[str, Any] = {}

    def add(self, name: str, value: Any) -> None:
        if isinstance(value, list):
            self._lists.setdefault(name, PartList(self._bound)).extend(value)
        else:
            merge_fields(self._fields, {name: value}, self._bound)

    def document(self) -> dict[str, Any]:
        return {**self._fields, **{name: parts.document() for name, parts in self._lists.items()}}


def merged(*metadata: Metadata) -> Metadata:
    """Several metadata objects with different entries as one."""
    whole: Metadata = {}
    for one in metadata:
        for namespace, entries in one.items():
            whole[namespace] = {**whole.get(namespace, {}), **entries}
    return whole


def of_reasoning(field: str | None) -> Metadata:
    """The metadata of reasoning that arrived in this field; None means the usual `reasoning_content`."""
    return {_OWN: {"reasoningField": field}} if field else {}


# -- back to the provider ----------------------------------------------------------------------------------


class ReturnedFields(NamedTuple):
    """The provider's fields in the metadata of a part."""

    call: dict[str, Any]  # fields of the tool call
    message: dict[str, Any]  # fields of the assistant's message
    reasoning_field: str  # the field of the message in which the reasoning arrived


def returned_fields(part: Mapping[str, Any], where: str, *, is_call: bool) -> ReturnedFields:
    """The fields in a part's metadata. As it comes from a client, only such fields are accepted.

    Raises RequestError: 400 that names the metadata and says what it must be.
    """
    call: dict[str, Any] = {}
    message: dict[str, Any] = {}
    field = REASONING_TEXTS[0]
    names = ("callProviderMetadata", "resultProviderMetadata") if is_call else ("providerMetadata",)
    for name in names:
        place = f"{where}.{name}"
        metadata = _object(part.get(name), place)
        own = _object(metadata.get(_OWN), f"{place}.{_OWN}")
        call |= _checked(own.get("toolCall"), f"{place}.{_OWN}.toolCall")
        message |= _checked(own.get("message"), f"{place}.{_OWN}.message")
        field = own.get("reasoningField", field)
        if field not in _REASONING_FIELDS:
            raise _invalid(f"{place}.{_OWN}.reasoningField", f"one of {', '.join(_REASONING_FIELDS)}")
        google = _object(metadata.get("google"), f"{place}.google")
        if (signature := google.get("thoughtSignature")) is not None:
            if not isinstance(signature, str):
                raise _invalid(f"{place}.google.thoughtSignature", "a string")
            signed = call if is_call else message
            signed.setdefault("extra_content", {"google": {"thought_signature": signature}})
        openrouter = _object(metadata.get("openrouter"), f"{place}.openrouter")
        if (details := openrouter.get("reasoning_details")) is not None:
            if not isinstance(details, list):
                raise _invalid(f"{place}.openrouter.reasoning_details", "a list")
            message["reasoning_details"] = details
    return ReturnedFields(call, message, field)


def _checked(given: Any, where: str) -> dict[str, Any]:
    fields = _object(given, where)
    for name, value in fields.items():
        if not is_provider_field(name):
            raise _invalid(where, "an object of fields for a provider's signatures")
        if not isinstance(value, str | list | dict):
            raise _invalid(f"{where}.{name}", "a string, a list or an object")
    return fields


def _object(value: Any, where: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise _invalid(where, "an object")
    return value or {}


def _invalid(where: str, expected: str) -> RequestError:
    return RequestError(400, "invalid_value", f"`{where}` must be {expected}.", param=where)
