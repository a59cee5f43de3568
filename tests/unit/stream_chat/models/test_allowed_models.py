"""Which models of the upstream's list a caller may use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from models.allowed_models import allowed_models, models_in
from settings import Settings


def settings(*allowed: str, default: str = "default") -> Settings:
    return Settings(allowed_models=allowed, default_model=default)


def listed(*names: str) -> list[dict[str, Any]]:
    models = models_in(json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode())
    assert models is not None
    return models


def names(models: Sequence[dict[str, Any]]) -> list[str]:
    return [model["id"] for model in models]


def test_the_upstreams_own_fields_stay_and_openais_are_complete() -> None:
    sent = {"id": "a", "created": 5, "owned_by": "openai", "shutdown_date": "2027-01-01", "x": {"y": [1]}}
    (model, bare) = models_in(json.dumps({"data": [sent, {"id": "b"}]}).encode()) or []
    assert model == {**sent, "object": "model"}
    assert bare == {"id": "b", "object": "model", "created": 0, "owned_by": "unknown"}


def test_numbers_that_no_json_has_are_null() -> None:
    (model,) = models_in(b'{"data": [{"id": "a", "price": NaN}]}') or []
    assert model["price"] is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"<html>",
        b'{"models": [{"id": "a"}]}',
        b'{"data": {"id": "a"}}',
        b'{"data": null}',
        b"[" * 100_000,
        b'{"data": [' + b"[]," * 300_000 + b"[]]}",
    ],
)
def test_any_other_document_is_no_list(body: bytes) -> None:
    assert models_in(body) is None


@pytest.mark.parametrize("entry", [None, 1, "a", [], {}, {"id": None}, {"id": 5}, {"id": ""}])
def test_an_entry_without_a_name_is_left_out(entry: Any) -> None:
    assert names(models_in(json.dumps({"data": [entry, {"id": "b"}]}).encode()) or []) == ["b"]


@pytest.mark.parametrize(
    ("allowed", "seen"),
    [
        ((), ["gpt-6", "gpt-6-mini", "o9"]),
        (("gpt-6*",), ["gpt-6", "gpt-6-mini"]),
        (("o9", "gpt-6"), ["gpt-6", "o9"]),
        (("o9", "retired"), ["o9"]),
        (("none*",), []),
    ],
)
def test_the_list_holds_what_the_settings_allow(allowed: Sequence[str], seen: list[str]) -> None:
    assert names(allowed_models(listed("gpt-6", "gpt-6-mini", "o9"), settings(*allowed))) == seen


def test_deployments_are_those_that_the_settings_name_if_the_upstream_lists_none_of_them() -> None:
    assert names(allowed_models(listed("gpt-6"), settings("my-deployment", "eu-*"))) == ["my-deployment"]


def test_without_a_list_the_models_are_those_that_the_settings_name() -> None:
    assert names(allowed_models(None, settings())) == ["default"]
    assert names(allowed_models(None, settings("b", "a*", "b", default="b"))) == ["b"]
    assert names(allowed_models(None, settings("a*", default="a1"))) == ["a1"]
    assert names(allowed_models(None, settings("a", "b", default="b"))) == ["a", "b"]


def test_a_name_that_is_allowed_without_geminis_prefix_is_listed_without_it() -> None:
    models = listed("models/gemini-3", "models/other")
    assert names(allowed_models(models, settings("gemini-*"))) == ["gemini-3"]
    assert names(allowed_models(models, settings("models/*"))) == ["models/gemini-3", "models/other"]
    assert names(allowed_models(models, settings())) == ["models/gemini-3", "models/other"]
