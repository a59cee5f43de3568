"""How much of a budget in money a request takes: a bound before the answer, and the cost when it has ended.

Amounts are whole nano-dollars, rounded up: the cheapest token of the list prices costs two of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any, NamedTuple

from errors import RequestError
from pricing.cost import cost_bound
from pricing.price_file import prices_of
from pricing.price_list import PriceList
from pricing.token_counts import token_counts
from quota.token_estimate import TokenBounds, reported_tokens, settled, unreported_tokens
from quota.usage_windows import NANO
from settings import Settings

_MILLION = 1_000_000
_OUTPUT_KINDS = ("output", "output_audio", "output_image")


def nano_usd(usd: float | Decimal) -> int:
    """An amount of US dollars in nano-dollars, rounded up."""
    return int((Decimal(str(usd)) * NANO).to_integral_value(ROUND_CEILING))


class Prices:
    """The prices of a deployment, for requests before they are sent. Reads them when it is made."""

    def __init__(self, settings: Settings) -> None:
        self._lists = prices_of(settings.openai_base_url, settings.model_prices)
        unpriced = settings.unpriced_usd_per_million
        self._unpriced = None if unpriced is None else Decimal(str(unpriced))

    def of_request(self, model: str | None, service_tier: str | None) -> RequestPrice:
        """What the tokens of a request cost.

        Args:
            model: as the request names it; None if a stored prompt does.
            service_tier: likewise.

        Raises:
            RequestError: 400 `model_not_priced`, if the price is not known and UNPRICED_USD_PER_MILLION is
                not set.
        """
        price = RequestPrice(model, service_tier, self._lists, self._unpriced)
        if price.is_known or self._unpriced is not None:
            return price
        is_of_tier = RequestPrice(model, None, self._lists, None).is_known
        param = "service_tier" if is_of_tier else "model"
        what = "the service tier in `service_tier`" if is_of_tier else "the model in `model`"
        message = (
            f"This caller has a budget in US dollars, and the price of {what} is not known to this relay."
        )
        raise RequestError(400, "model_not_priced", message, param=param)


class RequestPrice(NamedTuple):
    """The price of a request.

    Attributes:
        model, service_tier: as the request names them.
        lists: the prices in the order in which they count.
        unpriced: dollars per million tokens of any kind where no price is known.
    """

    model: str | None
    service_tier: str | None
    lists: Sequence[PriceList]
    unpriced: Decimal | None

    @property
    def is_known(self) -> bool:
        """Whether a list has a price for this model in this tier."""
        return None not in self._listed(0, 0)

    def bound(self, input_tokens: int, output_tokens: int) -> int:
        """The most that this many tokens can cost, in nano-dollars.

        A tier may be ignored: if the standard one is dearer, its price counts.
        """
        listed = self._listed(input_tokens, output_tokens)
        bounds = [usd for usd in listed if usd is not None]
        if len(bounds) < len(listed) and self.unpriced is not None:
            bounds.append((input_tokens + output_tokens) * self.unpriced / _MILLION)
        return nano_usd(max(bounds, default=Decimal(0)))

    def used(self, transcript: Mapping[str, Any], bounds: TokenBounds) -> int:
        """How much of a budget an exchange has used, in nano-dollars.

        It is the cost in the transcript. If that is not known, the reported tokens count at their bound, and
        without a report the estimated ones.
        """
        unreported = self.bound(*unreported_tokens(transcript, bounds))
        return settled(transcript, self._reported(transcript), unreported)

    def _reported(self, transcript: Mapping[str, Any]) -> int | None:
        cost, usage = transcript.get("cost"), transcript["response"]["usage"]
        if cost is not None:
            return nano_usd(cost["usd"])
        total = reported_tokens(usage)
        if total is None:
            return None
        counts = token_counts(usage)
        if counts is None:  # it does not tell which tokens are which
            return max(self.bound(total, 0), self.bound(0, total))
        return self.bound(counts.input_tokens, sum(counts.kinds[kind] for kind in _OUTPUT_KINDS))

    def _listed(self, input_tokens: int, output_tokens: int) -> list[Decimal | None]:
        """By the price lists, in the standard tier and in the requested one; None where that is not known."""
        tokens = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        bounds = (
            cost_bound(self.model or "", self.lists, **tokens, requested_tier=tier)
            for tier in dict.fromkeys((None, self.service_tier))
        )
        return [bound and bound.usd for bound in bounds]
