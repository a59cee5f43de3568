"""`make prices`: writes shared/pricing/model_prices.json from the maintained package genai-prices.

It keeps the providers with an OpenAI-compatible API, and the prices of those models that are paid by input
and output tokens alone. Prices are those of today; a price that begins later is for a later `make prices`.
"""

from __future__ import annotations

import importlib
import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pricing.cost import answer_cost
from pricing.price_list import PriceList

FILE = Path(__file__).parents[1] / "shared" / "pricing" / "model_prices.json"
MAX_FILE_BYTES = 200_000  # read in about 5 ms, once in an environment
SOURCE = "https://pypi.org/project/genai-prices/{version}/"

# OpenRouter is not among them: it reports the cost of each answer itself, and its prices depend on the
# provider that it chooses.
PROVIDERS = (
    "anthropic", "aws", "azure", "baseten", "cerebras", "cohere", "databricks", "deepseek", "fireworks",
    "google", "groq", "meta", "minimax", "mistral", "moonshotai", "novita", "openai", "ovhcloud",
    "perplexity", "together", "x-ai", "zai", "zhipuai",
)  # fmt: skip

# What some of a provider's APIs put before the names: Gemini's and that of Vertex AI.
PREFIXES = {"google": ("models/", "google/")}

# The package's names of prices in dollars per million tokens, and ours.
NAMES = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cached_audio",
    "input_image_mtok": "input_image",
    "output_mtok": "output",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
}
# Fees for hosted tools, which come on top, and the kinds of input that no usage counts.
NOT_OF_TOKENS = frozenset(
    ("web_searches_kcount", "storage_searches_kcount", "cache_image_read_mtok", "input_video_mtok")
)

DATE = re.compile(r"\\d\{8\}|\\d\{4\}-\\d\{2\}-\\d\{2\}")
NO_SPEECH = r"^(?!.*-[tT][tT][sS](?:$|-))"


def main() -> None:
    """Write the file. Raises ValueError if the package holds something that the file cannot express."""
    providers = {provider.id: provider for provider in importlib.import_module("genai_prices.data").providers}
    now = datetime.now(UTC)
    sections = []
    for provider_id in PROVIDERS:
        provider = providers[provider_id]
        models = models_of(provider, now)
        check_names(provider, models)
        check_costs(provider, models, now)
        head: dict[str, Any] = {"url": address(provider.api_pattern)}
        if fallbacks := [name for name in provider.fallback_model_providers or () if name in PROVIDERS]:
            head["fallbacks"] = fallbacks
        lines = ",\n".join(
            f"{json.dumps(key)}: {json.dumps(prices)}" for key, prices in sorted(models.items())
        )
        sections.append(f'"{provider_id}": {json.dumps(head)[:-1]}, "models": {{\n{lines}\n}}}}')
    source = SOURCE.format(version=version("genai-prices"))
    text = (
        f'{{"date": "{now:%Y-%m-%d}", "source": "{source}",\n'
        f'"unit": "US dollars per million tokens",\n"providers": {{\n{f",{chr(10)}".join(sections)}\n}}}}\n'
    )
    if len(text) > MAX_FILE_BYTES:
        raise ValueError(f"{FILE.name} would have {len(text)} bytes; at most {MAX_FILE_BYTES} are allowed")
    FILE.write_text(text, encoding="ascii")


def address(pattern: str) -> str:
    """The expression for the provider's URLs, whose host ends there: not api.openai.com.example.org."""
    pattern = pattern.replace("(.*", "([^/]*")  # no part of a path is a host
    is_open = pattern.endswith(("$)", r"\."))
    return f"(?:{pattern})" if is_open else f"(?:{pattern})(?=[:/]|$)"


def models_of(provider: Any, now: datetime) -> dict[str, Any]:
    """Comma-separated patterns → prices, for each of the provider's models that is paid by tokens."""
    found: dict[str, Any] = {}
    for model in provider.models:
        patterns = all_patterns(provider, model)
        prices = prices_of(model, now)
        # The model of a null keeps its patterns: otherwise a shorter pattern of another model could match.
        found[", ".join(pattern for pattern in patterns if not pattern.startswith("!"))] = prices
        for pattern in patterns:
            if pattern.startswith("!"):
                found[pattern[1:]] = None
    return found


def all_patterns(provider: Any, model: Any) -> list[str]:
    """The patterns of a model, those that it excludes behind `!`."""
    patterns = dict.fromkeys(patterns_of(model.match))
    for prefix, pattern in itertools.product(PREFIXES.get(provider.id, ()), list(patterns)):
        mark, name = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
        if not name.startswith("*") and "/" not in name:
            patterns[mark + prefix + name] = None
    return list(patterns)


def patterns_of(clause: Any) -> Iterator[str]:
    """The patterns in which a clause names models; those behind `!` it excludes."""
    match type(clause).__name__:
        case "ClauseOr":
            for inner in clause.or_:
                yield from patterns_of(inner)
        case "ClauseEquals":
            yield literal(clause.equals)
        case "ClauseStartsWith":
            yield literal(clause.starts_with) + "*"
        case "ClauseEndsWith":
            yield "*" + literal(clause.ends_with)
        case "ClauseContains":
            yield f"*{literal(clause.contains)}*"
        case "ClauseAnd" if [type(inner).__name__ for inner in clause.and_] == [
            "ClauseStartsWith",
            "ClauseRegex",
        ]:
            begin, other = clause.and_
            if other.regex != NO_SPEECH:
                raise ValueError(f"an unknown kind of match: {clause}")
            yield literal(begin.starts_with) + "*"
            yield f"!{literal(begin.starts_with)}*-tts*"
        case "ClauseRegex":
            yield from patterns_of_expression(clause.regex)
        case _:
            raise ValueError(f"an unknown kind of match: {clause}")


def patterns_of_expression(expression: str) -> Iterator[str]:
    """The patterns for a name with a date or number after it: dates begin with 20, numbers with 0."""
    text = DATE.sub("20*", expression.removeprefix("^").removesuffix("$")).replace(r"\.", ".")
    text = text.removesuffix(r"\d") + "0*" if text.endswith(r"\d") else text
    for variant in (text.replace("[-@]", "-"), text.replace("[-@]", "@")) if "[-@]" in text else (text,):
        if re.search(r"[\\^$()\[\]{}|+?]", variant):
            raise ValueError(f"an expression that no pattern expresses: {expression}")
        yield variant


def literal(name: str) -> str:
    """A name as a pattern. Raises ValueError for one that holds a special character."""
    if re.search(r"[*,!\s]", name):
        raise ValueError(f"a name that no pattern expresses: {name!r}")
    return name.lower()


def prices_of(model: Any, now: datetime) -> dict[str, Any] | None:
    """The prices of a model now; None if it is not paid by input and output tokens alone."""
    hours: dict[str, Any] = {}
    standard: Any = model.prices
    if isinstance(standard, list):
        for conditional in reversed(standard):  # the last takes precedence
            constraint = conditional.constraint
            if constraint is not None and hasattr(constraint, "start_time"):
                span = f"{constraint.start_time:%H:%M}-{constraint.end_time:%H:%M}"
                hours[span] = listed(conditional.prices)
            elif constraint is None or constraint.active(now):
                standard = conditional.prices
                break
    prices = listed(standard)
    if prices is None or not {"input", "output"} <= prices.keys() or None in hours.values():
        return None
    tiers: dict[str, Any] = {}
    for variant in model.price_variants or ():
        name = variant.when.get("service_tier") or variant.when.get("processing") or variant.when.get("speed")
        is_active = variant.constraint is None or variant.constraint.active(now)
        if len(variant.when) == 1 and name and name != "default" and is_active:
            tiers.setdefault(name, listed(variant.prices))
    return {
        **prices,
        **({"hours": dict(sorted(hours.items()))} if hours else {}),
        **({"tiers": dict(sorted(tiers.items()))} if tiers else {}),
    }


def listed(prices: Any) -> dict[str, Any] | None:
    """Prices under our names; None if there are others that a usage does not tell."""
    named = {name: price for name, price in vars(prices).items() if price is not None}
    if named.keys() - NAMES.keys() - NOT_OF_TOKENS:
        return None
    return {ours: number(named[name]) for name, ours in NAMES.items() if name in named}


def number(price: Any) -> Any:
    """A price as a JSON number, or an object: number of input tokens → price for requests with more."""
    if hasattr(price, "tiers"):
        return {"0": number(price.base), **{str(tier.start): number(tier.price) for tier in price.tiers}}
    as_float = float(price)
    return int(as_float) if as_float.is_integer() else as_float


def check_names(provider: Any, models: dict[str, Any]) -> None:
    """Raise ValueError if the file would find another price than the package for a name that it knows."""
    found = PriceList(provider.id, models)
    keys = {id(model): key for model, key in zip(provider.models, own_keys(provider), strict=True)}
    for model in provider.models:
        for name in [model.id.lower(), *keys[id(model)].replace("*", "").split(", ")]:
            expected = provider.find_model(name)
            entry = found.find(name)
            if expected is not None and (entry is None or entry.key != keys[id(expected)]):
                raise ValueError(f"{provider.id}: {name} would be priced as {entry and entry.key}")


def check_costs(provider: Any, models: dict[str, Any], now: datetime) -> None:
    """Raise ValueError if the file would compute another cost than the package for one of these usages."""
    package_usage = importlib.import_module("genai_prices").Usage
    for model, key in zip(provider.models, own_keys(provider), strict=True):
        if models[key] is None:
            continue
        prices = [PriceList(provider.id, {key: models[key]})]
        tiers = [None, *(models[key].get("tiers", {}) if "hours" not in models[key] else ())]
        for tier, (prompt, cached) in itertools.product(tiers, ((1_000, 300), (150_000, 0), (300_001, 7))):
            context = (
                None
                if tier is None
                else next(variant.when for variant in model.price_variants if tier in variant.when.values())
            )
            expected = model.calc_price(
                package_usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=500),
                provider,
                genai_request_timestamp=now,
                price_context=context,
            ).total_price
            details = {"prompt_tokens_details": {"cached_tokens": cached}}
            speech = {"completion_tokens_details": {"audio_tokens": 0, "image_tokens": 0}}
            usage = {"prompt_tokens": prompt, "completion_tokens": 500, **details, **speech}
            name = key.split(", ")[0]
            found = answer_cost(name, usage, prices, at=now, service_tier=tier)
            if found is None or found.usd != expected:
                raise ValueError(f"{provider.id}: {name} ({tier}) would cost {found}, not {expected}")


def own_keys(provider: Any) -> list[str]:
    """The key of each model in the file."""
    return [
        ", ".join(name for name in all_patterns(provider, model) if not name.startswith("!"))
        for model in provider.models
    ]


if __name__ == "__main__":
    main()
