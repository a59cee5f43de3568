"""Read template.yaml, so that the local stack runs what it deploys, with every option switched on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parent.parent / "template.yaml"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # ten times as fast
    """YAML with CloudFormation's short forms: `!Ref X` is {"Ref": X}, `!If […]` is {"Fn::If": […]}."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    raise TypeError(f"!{suffix} with a mapping")


_Loader.add_multi_constructor("!", _short_form)


@cache
def load_template() -> dict[str, Any]:
    """template.yaml with its short forms expanded. It is read once, so callers must not change it."""
    template: dict[str, Any] = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)
    return template


def properties_of(logical_id: str) -> dict[str, Any]:
    """The properties of a resource, as written in the template."""
    properties: dict[str, Any] = load_template()["Resources"][logical_id]["Properties"]
    return properties


def value_of(value: Any) -> Any:
    """The value itself, or the default of the parameter that it refers to."""
    match value:
        case {"Ref": name}:
            return load_template()["Parameters"][name]["Default"]
    return value


def resource_variables(logical_id: str, names: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a function that name resources, with every condition of the template true.

    `names` tells what each resource is called locally, by its logical id. Raises KeyError for any other.
    """
    variables = properties_of(logical_id)["Environment"]["Variables"]
    named = {name: _resource_text(value, names) for name, value in variables.items()}
    return {name: text for name, text in named.items() if text is not None}


def _resource_text(value: Any, names: Mapping[str, str]) -> str | None:
    match value:
        case {"Ref": name} if name in load_template()["Resources"]:
            return names[name]
        case {"Fn::GetAtt": str(attribute)}:
            return names[attribute.partition(".")[0]]
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{(\w+)\}", lambda found: names[found[1]], text)
        case {"Fn::If": [_, if_holds, _]}:
            return _resource_text(if_holds, names)
    return None
