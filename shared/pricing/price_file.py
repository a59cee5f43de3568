"""The prices of a deployment: MODEL_PRICES, then its provider's list prices from model_prices.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from pricing.price_list import OWN, PriceList


def prices_of(base_url: str, own: Mapping[str, Any] | None = None) -> Sequence[PriceList]:
    """The price lists for answers of this upstream, in the order in which they count.

    Args:
        base_url: OPENAI_BASE_URL. An address that is not in the file has no list prices: the same
            name may be another model there, or a copy on the deployment's own machines.
        own: MODEL_PRICES, which comes first.
    """
    return (*([PriceList(OWN, own)] if own else []), *_provider_prices(base_url))


@cache
def _provider_prices(base_url: str) -> tuple[PriceList, ...]:
    providers = price_file()["providers"]
    for name, provider in providers.items():
        if re.match(provider["url"], base_url.lower()):
            # Azure and Google also sell models of others, in service tiers of their own.
            return (
                PriceList(name, provider["models"]),
                *(
                    PriceList(other, providers[other]["models"], has_tiers=False)
                    for other in provider.get("fallbacks", ())
                ),
            )
    return ()


def price_file() -> dict[str, Any]:
    """The content of model_prices.json, with its numbers as decimals."""
    text = Path(__file__).with_name("model_prices.json").read_text(encoding="ascii")
    document: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return document
