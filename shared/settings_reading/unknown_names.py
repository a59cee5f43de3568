"""Finds names that are not settings, and the settings that were probably meant.

`difflib` is imported only when there is such a name: nothing waits for it at an ordinary start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

# A variable whose name is at least this similar to a setting's was probably meant for it. OPENAI_KEY is not
# similar enough to OPENAI_API_KEY: below this, there are variables of other programs (OPENAI_API_TYPE).
MISSPELT = 0.83
SIMILAR = 0.6  # difflib's own default for a suggestion

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, and what Python, shells and the
# SDKs of Azure read.
_OF_OTHERS = ("AWS_", "AZURE_", "LAMBDA_", "POWERTOOLS_", "PYTHON", "SSL_CERT_", "LD_", "LC_", "_")
_PLATFORM = frozenset((
    "HOME", "LANG", "PATH", "PWD", "SHLVL", "TMPDIR", "TZ",
    "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
))  # fmt: skip


def unknown_settings(
    names: Iterable[str], known: Collection[str], *, similarity: float = SIMILAR
) -> list[tuple[str, str | None]]:
    """The names that are not `known`, each with the most similar one that is, or None if none is similar.

    Args:
        similarity: how similar it must be at least, from 0 to 1, whatever the case of the letters.
    """
    unknown = [name for name in names if name not in known]
    if not unknown:
        return []
    from difflib import get_close_matches

    return [
        (name, next(iter(get_close_matches(name.upper(), known, 1, similarity)), None)) for name in unknown
    ]


def misspelt_variables(environ: Iterable[str], known: Collection[str]) -> list[tuple[str, str]]:
    """The environment variables that are not settings but look like one, each with that setting.

    Variables of Lambda, Python and the shell are none of them, nor is any that resembles no setting: a layer
    or a wrapper may read it.
    """
    names = (name for name in environ if name.upper() not in _PLATFORM and not name.startswith(_OF_OTHERS))
    found = unknown_settings(names, known, similarity=MISSPELT)
    return [(name, nearest) for name, nearest in found if nearest is not None]


def misspelt(name: str, nearest: str) -> str:
    """The warning about a misspelt variable. It never quotes the value, which may be a key."""
    return f"{name} is not a setting and has no effect: {nearest} is one"
