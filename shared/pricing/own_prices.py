"""Checks MODEL_PRICES, the prices that a deployment sets itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pricing.price_list import GENERAL_KINDS
from settings_reading.json_objects import json_object
from settings_reading.readers import SettingsError

_HIGHEST = 1_000_000  # dollars per million tokens
_SPAN = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")
_THRESHOLD = re.compile(r"0|[1-9][0-9]{0,11}")
_EXAMPLE = '{"my-model-*": {"input": 0.25, "output": 2}}'


def model_prices(name: str, value: str) -> Mapping[str, Any]:
    """JSON: patterns for models → prices as in model_prices.json, or null for an unknown price.

    Raises:
        SettingsError: the message names the model and the price, and says what would be right.
    """
    document = json_object(name, value, f"a JSON object, such as {_EXAMPLE}")
    for model, prices in document.items():
        if not all(pattern.strip() for pattern in model.split(",")):
            raise SettingsError(
                f"{name}: {model!r} must be a model's name or a pattern, or several with commas"
            )
        if prices is not None:
            _check_model(f"{name}: {model}", prices)
    return document


def _check_model(where: str, prices: object) -> None:
    if not isinstance(prices, dict):
        raise SettingsError(f"{where} must be null or prices, such as {_EXAMPLE}")
    for kind in ("input", "output"):
        if kind not in prices:
            raise SettingsError(f"{where}: {kind} is missing")
    _check_prices(where, {name: value for name, value in prices.items() if name not in ("tiers", "hours")})
    for name, expression in (("tiers", re.compile(".+")), ("hours", _SPAN)):
        changes = prices.get(name, {})
        if not isinstance(changes, dict) or not all(map(expression.fullmatch, changes)):
            example = "service tiers" if name == "tiers" else 'times in UTC such as "01:00-04:00"'
            raise SettingsError(f"{where}: {name} must be an object: {example} and their prices")
        for inner, changed in changes.items():
            _check_prices(f"{where}: {name}: {inner}", changed)


def _check_prices(where: str, prices: object) -> None:
    if not isinstance(prices, dict):
        raise SettingsError(f'{where} must be an object with prices, such as {{"input": 0.25}}')
    for kind, price in prices.items():
        if kind not in GENERAL_KINDS:
            raise SettingsError(f"{where}: {kind} is not a price; the prices are {', '.join(GENERAL_KINDS)}")
        levels = price if isinstance(price, dict) else {"0": price}
        if "0" not in levels or not all(map(_THRESHOLD.fullmatch, levels)):
            example = '{"0": 1.25, "200000": 2.5}'
            raise SettingsError(
                f"{where}: {kind} must be a price, or prices by input tokens such as {example}"
            )
        for level in levels.values():
            if isinstance(level, bool) or not isinstance(level, int | float) or not 0 <= level <= _HIGHEST:
                raise SettingsError(
                    f"{where}: {kind} must be a number of dollars per million tokens, from 0 to {_HIGHEST}"
                )
