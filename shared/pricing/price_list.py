"""Lists of prices: patterns for models → dollars per million tokens (pure)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from settings_reading.wildcards import matches_any

MAX_NAME_CHARS = 256  # no model has a longer name, and a caller could send megabytes

OWN = "MODEL_PRICES"
# Kind of token → the kinds to try, in this order, for its price if the list has none for the kind itself.
GENERAL_KINDS: Mapping[str, Sequence[str]] = {
    "input": (),
    "cached_input": ("input",),
    "cache_write": ("input",),
    "cache_write_1h": ("cache_write", "input"),
    "input_audio": ("input",),
    "cached_audio": ("cached_input", "input_audio", "input"),
    "input_image": ("input",),
    "output": (),
    "output_audio": ("output",),
    "output_image": ("output",),
}

# Names of the tier that everybody gets: OpenAI's, Anthropic's, Groq's.
STANDARD_TIERS = frozenset(("default", "standard", "standard_only", "on_demand"))


class PriceEntry(NamedTuple):
    """One model of a price list.

    Attributes:
        name: how a cost names the price, such as `openai/gpt-5`.
        key: the model's patterns as the list has them.
        prices: kind of token → price, with `tiers` and `hours`; None if the price is unknown.
        has_tiers: False if the prices of service tiers are another provider's.
    """

    name: str
    key: str
    prices: Mapping[str, Any] | None
    has_tiers: bool = True

    def rates(self, service_tier: str | None, at: datetime | None) -> Rates | None:
        """The prices for a service tier at a time of day; None if they are unknown.

        Args:
            service_tier: as the upstream names it; None for the standard tier.
            at: when the answer began; None for the highest price of a day.
        """
        if self.prices is None:
            return None
        hours = self.prices.get("hours", {})
        if service_tier is None or service_tier in STANDARD_TIERS:
            if at is None:
                return Rates([self.prices, *({**self.prices, **changed} for changed in hours.values())])
            now = f"{at:%H:%M}"
            for span, changed in hours.items():
                begin, end = span.split("-")
                if begin <= now < end or (end < begin and not end <= now < begin):
                    return Rates([{**self.prices, **changed}])
            return Rates([self.prices])
        changed = self.prices.get("tiers", {}).get(service_tier) if self.has_tiers and not hours else None
        return None if changed is None else Rates([{**self.prices, **changed}])


class Rates(NamedTuple):
    """What each kind of token costs. If several lists are possible, the highest price counts."""

    lists: Sequence[Mapping[str, Any]]

    def price(self, kind: str, input_tokens: int) -> Decimal:
        """Dollars per million tokens of this kind, in a request with this many input tokens."""
        return max(_price(prices, kind, input_tokens) for prices in self.lists)

    def highest_price(self, kinds: Sequence[str], input_tokens: int) -> Decimal:
        """The highest price of any of these kinds, in a request with at most this many input tokens."""
        levels = [above for each in self.lists for kind in kinds for above in _thresholds(each, kind)]
        sizes = {0, *(int(above) + 1 for above in levels if int(above) < input_tokens)}
        return max(self.price(kind, tokens) for kind in kinds for tokens in sizes)

    def gives(self, *kinds: str) -> bool:
        """Whether one of these kinds of tokens has a price of its own."""
        return any(kind in prices for prices in self.lists for kind in kinds)


class PriceList:
    """The prices of one provider, or those of MODEL_PRICES.

    Args:
        name: the provider's.
        models: comma-separated patterns → prices as in model_prices.json, or None for an unknown price.
        has_tiers: as in PriceEntry.
    """

    def __init__(self, name: str, models: Mapping[str, Any], *, has_tiers: bool = True) -> None:
        self._entries: dict[str, PriceEntry] = {}
        for key, prices in models.items():
            patterns = [pattern.strip().lower() for pattern in key.split(",")]
            entry = PriceEntry(f"{name}/{patterns[0]}", key, prices, has_tiers)
            for pattern in patterns:
                self._entries.setdefault(pattern, entry)
        self._patterns = sorted((name for name in self._entries if "*" in name), key=len, reverse=True)

    def find(self, model: str | None) -> PriceEntry | None:
        """The entry with the model's exact name, or else with the longest pattern that matches it."""
        if not model or len(model) > MAX_NAME_CHARS:
            return None
        name = model.lower()
        if name in self._entries and "*" not in name:
            return self._entries[name]
        for pattern in self._patterns:
            # Compiling an expression for each pattern would take longer than all the rest.
            if all(piece in name for piece in pattern.split("*")) and matches_any(name, [pattern]):
                return self._entries[pattern]
        return None


def _price(prices: Mapping[str, Any], kind: str, input_tokens: int) -> Decimal:
    above = max(
        int(above) for above in _thresholds(prices, kind) if input_tokens > int(above) or above == "0"
    )
    price = _of_kind(prices, kind)
    return Decimal(str(price[str(above)] if isinstance(price, Mapping) else price))


def _thresholds(prices: Mapping[str, Any], kind: str) -> Collection[str]:
    """The numbers of input tokens above which this kind of token has another price, "0" among them."""
    price = _of_kind(prices, kind)
    return price.keys() if isinstance(price, Mapping) else ("0",)


def _of_kind(prices: Mapping[str, Any], kind: str) -> Any:
    return next(prices[name] for name in (kind, *GENERAL_KINDS[kind]) if name in prices)
