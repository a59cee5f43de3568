"""The models of the upstream's list that a caller may use, in OpenAI's shape (pure)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from chat_stream.json_values import check_containers, strict
from settings import Settings

Model = dict[str, Any]  # OpenAI's model object: `id`, `object`, `created`, `owned_by`, and the upstream's own

_GEMINI_PREFIX = "models/"  # Gemini lists its models with it, and takes them without it as well


def models_in(body: bytes) -> list[Model] | None:
    """The models that the upstream lists; None if the body is no list in OpenAI's shape."""
    try:
        check_containers(body)
        document = strict(json.loads(body))
    except (ValueError, RecursionError):
        return None
    listed = document.get("data") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return None
    return [
        _model(model["id"], model)
        for model in listed
        if isinstance(model, dict) and isinstance(model.get("id"), str) and model["id"]
    ]


def allowed_models(listed: Sequence[Model] | None, settings: Settings) -> list[Model]:
    """The models that the settings allow.

    If the upstream has no list, these are the models that the settings name; patterns name none. Azure lists
    the models that could be deployed, while callers ask for deployments: if the settings allow none of a
    list, the models that they name count as well.

    Args:
        listed: what `models_in` returned.
        settings: those of the caller.
    """
    named = [model for model in settings.allowed_models if "*" not in model]
    if listed is None:
        return [_model(name) for name in dict.fromkeys([*named, settings.default_model])]
    allowed = []
    for model in listed:
        names = (model["id"], model["id"].removeprefix(_GEMINI_PREFIX))
        name = next(filter(settings.allows_model, names), None)
        if name is not None:
            allowed.append({**model, "id": name})
    return allowed or [_model(name) for name in named]


def _model(name: str, upstreams: Model | None = None) -> Model:
    """A model object with all of OpenAI's fields, whatever the upstream left out."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "unknown", **(upstreams or {})}
