"""The cost of an answer, and the most that a request can cost (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from chat_stream.json_values import object_in
from pricing.price_list import OWN, STANDARD_TIERS, PriceEntry, PriceList
from pricing.token_counts import token_counts

UPSTREAM = "upstream"  # the `priced_as` of an answer whose usage names the cost
_MILLION = 1_000_000
_INPUT_KINDS = ("input", "cache_write", "cache_write_1h", "input_audio", "input_image")
_OUTPUT_KINDS = ("output", "output_audio", "output_image")
# Far dearer than text. Some lists give only the price of text for models that hear, speak or draw.
_DEARER_KINDS = ("input_audio", "cached_audio", "output_audio", "output_image")


class Cost(NamedTuple):
    """What an answer costs.

    Attributes:
        usd: in US dollars, exact.
        priced_as: the price that applies, such as `openai/gpt-5` or `MODEL_PRICES/my-model`; `upstream` if
            the upstream itself has named the cost.
    """

    usd: Decimal
    priced_as: str

    def to_json(self) -> dict[str, Any]:
        """The `cost` of a transcript."""
        return {"usd": float(self.usd), "priced_as": self.priced_as}


def answer_cost(
    model: str | None,
    usage: Mapping[str, Any] | None,
    prices: Sequence[PriceList],
    *,
    at: datetime,
    requested_model: str | None = None,
    service_tier: str | None = None,
    requested_tier: str | None = None,
) -> Cost | None:
    """What the tokens of an answer cost; None if that is not known. Fees for hosted tools come on top.

    A cost that the upstream itself reports is believed, but 0 only if there is no price: gateways write it
    for a price that they do not know. Otherwise the prices of the model that answered apply, or those of the
    requested one if there are none.

    Args:
        usage: as the upstream reports it, in the form of any API.
        prices: the lists to look in, the first that knows the model counts.
        at: when the answer began, in UTC: some prices depend on the time of day.
        service_tier: as the answer names it. If it names none, the requested one must be the standard tier.
    """
    if not usage:
        return None
    own = reported_cost(usage)
    if own:
        return Cost(own, UPSTREAM)
    entry = find_price(prices, model, requested_model)
    if entry is None:
        return None if own is None else Cost(own, UPSTREAM)
    counts = token_counts(usage)
    if counts is None or not any(counts.kinds.values()):  # zeros are no report: every request has a token
        return None
    tier = _tier(usage, service_tier)
    if tier is None and _named(requested_tier) not in (None, *STANDARD_TIERS):
        return None  # it may have been ignored
    rates = entry.rates(tier, at)
    if rates is None or (counts.mixes_cached_audio and rates.gives("input_audio", "cached_audio")):
        return None
    is_own = entry.name.startswith(f"{OWN}/")
    if not is_own and any(counts.kinds.get(kind) and not rates.gives(kind) for kind in _DEARER_KINDS):
        return None
    # Without these counts there may be any number of such tokens, which cost more than text.
    if any(kind not in counts.tells and rates.gives(kind) for kind in _OUTPUT_KINDS[1:]):
        return None
    paid = (count * rates.price(kind, counts.input_tokens) for kind, count in counts.kinds.items() if count)
    return Cost(sum(paid, Decimal(0)) / _MILLION, entry.name)


def cost_bound(
    model: str,
    prices: Sequence[PriceList],
    *,
    input_tokens: int,
    output_tokens: int,
    requested_tier: str | None = None,
) -> Cost | None:
    """The most that a request can cost, before it is sent; None if the price is not known.

    Each token is taken for one of the dearest kind, at the dearest time of day.

    Args:
        input_tokens: no prompt of this request has more.
        output_tokens: the answer has no more, of all choices together.
    """
    entry = find_price(prices, model)
    rates = entry and entry.rates(_named(requested_tier), None)
    if entry is None or rates is None:
        return None
    usd = input_tokens * rates.highest_price(_INPUT_KINDS, input_tokens)
    usd += output_tokens * rates.highest_price(_OUTPUT_KINDS, input_tokens)
    return Cost(usd / _MILLION, entry.name)


def reported_cost(usage: Mapping[str, Any]) -> Decimal | None:
    """The cost in US dollars that an upstream names in its usage; None if it names none.

    OpenRouter has `cost`, and beside it what the provider charges if the key is the caller's own
    (https://openrouter.ai/docs/use-cases/usage-accounting). Perplexity has an object with `total_cost`.
    """
    cost = usage.get("cost")
    if isinstance(cost, dict):
        return _dollars(cost.get("total_cost"))
    own = _dollars(cost)
    if own is not None and usage.get("is_byok") is True:
        share = _dollars(object_in(usage.get("cost_details")).get("upstream_inference_cost"))
        return None if share is None else own + share
    return own


def find_price(
    prices: Sequence[PriceList], model: str | None, requested_model: str | None = None
) -> PriceEntry | None:
    """The price of the model that answered, else of the requested one, in the first list that has either."""
    for price_list in prices:
        entry = price_list.find(model) or price_list.find(requested_model)
        if entry is not None:
            return entry
    return None


def _named(requested_tier: str | None) -> str | None:
    """The tier that a request names; None if it leaves the choice to the upstream."""
    return None if requested_tier in (None, "", "auto") else requested_tier


def _tier(usage: Mapping[str, Any], service_tier: str | None) -> str | None:
    """The tier in which an answer was served. Anthropic has it in the usage, and its fast mode beside it."""
    speed, of_usage = usage.get("speed"), usage.get("service_tier")
    if isinstance(speed, str) and speed != "standard":
        return speed
    return service_tier or (of_usage if isinstance(of_usage, str) and of_usage else None)


def _dollars(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MILLION:
        return None
    return Decimal(str(value))
