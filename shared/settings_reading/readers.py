"""Readers of settings: each turns a variable's text into its value, or raises an error that names it."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

Choice = TypeVar("Choice", bound=str)

HIGHEST_LIMIT = 10**12
LOWEST_USD, HIGHEST_USD = 1e-6, 10**9


class SettingsError(ValueError):
    """A setting is missing or malformed. The message names the variable and says what it should hold."""


def text(name: str, value: str) -> str:
    """Any text."""
    return value


def header_text(name: str, value: str) -> str:
    """A text that is sent in a header. An illegal one would otherwise fail only at the first request.

    Raises SettingsError: the message does not quote the text, which may be a key.
    """
    if not (value.isascii() and value.isprintable()):
        raise SettingsError(f"{name} must be printable ASCII on one line")
    return value


def names(name: str, value: str) -> tuple[str, ...]:
    """The entries of a comma-separated list; empty ones are left out.

    Raises SettingsError: the list has no entry, so a setting that should limit something would limit nothing.
    """
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not found:
        raise SettingsError(f"{name} must hold at least one entry, or nothing at all")
    return found


def url_parts(name: str, value: str) -> SplitResult:
    """The parts of a URL. Raises SettingsError for anything else."""
    try:
        parts = urlsplit(value)
        is_url = parts.port != 0  # raises for a port that is not a number, or too large
    except ValueError:
        is_url = False
    if not is_url or not value.isprintable() or " " in value:
        raise SettingsError(f"{name} must be a URL")  # not quoted: it may hold a password
    return parts


def is_this_machine(host: str) -> bool:
    """Whether a URL's host is certainly this machine, so that no one else can read the traffic.

    These are `localhost` and its subdomains (RFC 6761, section 6.3), 127.0.0.0/8 in four parts, and ::1.
    Programs disagree about other spellings (127.1, 2130706433).
    """
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address.ipv4_mapped):
        return False  # Python 3.13 calls ::ffff:127.0.0.1 a loopback address, 3.12 does not
    return address.is_loopback


def secure_url(name: str, value: str, *, takes_query: bool = False) -> str:
    """An https URL. For this machine http is enough, because no one else can read the traffic.

    Raises SettingsError: anything else, or a URL with a user, password or fragment, or with a query unless
    `takes_query` is set.
    """
    parts = url_parts(name, value)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(parts.hostname or ""))
    if not (is_safe and parts.hostname):
        raise SettingsError(f"{name} must be an absolute https URL")
    if parts.username or parts.password or parts.fragment or (parts.query and not takes_query):
        raise SettingsError(
            f"{name} must have no user, password, fragment{'' if takes_query else ' or query'}"
        )
    return value


def matching(pattern: re.Pattern[str], example: str) -> Callable[[str, str], str]:
    """Reads a text that matches the whole pattern."""

    def read(name: str, value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise SettingsError(f"{name} must be {example}, not {value!r}")
        return value

    return read


def seconds(name: str, value: str) -> float:
    """A duration within the longest timeout of a Lambda function.

    Raises SettingsError: anything but a number above 0 and at most 900.
    """
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number <= 900:  # a Lambda function runs for 15 minutes at most
        raise SettingsError(f"{name} must be a number of seconds above 0 and at most 900, not {value!r}")
    return number


def integer(lowest: int, highest: int) -> Callable[[str, str], int]:
    """Reads a whole number from `lowest` to `highest`."""

    def read(name: str, value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 20 and lowest <= int(value) <= highest):
            raise SettingsError(f"{name} must be a whole number from {lowest} to {highest}, not {value!r}")
        return int(value)

    return read


def limit(name: str, value: str) -> int | None:
    """Reads a limit: a whole number, where 0 means no limit (None)."""
    return integer(0, HIGHEST_LIMIT)(name, value) or None


def is_usd(value: object) -> bool:
    """Whether this is a number of US dollars, from LOWEST_USD to HIGHEST_USD."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return LOWEST_USD <= value <= HIGHEST_USD


def usd(name: str, value: str) -> float:
    """Reads an amount of US dollars. Raises SettingsError for anything that `is_usd` is not true of."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not is_usd(number):
        raise SettingsError(
            f"{name} must be a number of US dollars from {LOWEST_USD:f} to {HIGHEST_USD}, not {value!r}"
        )
    return number


def usd_limit(name: str, value: str) -> float | None:
    """Reads a limit in US dollars, where 0 means no limit (None)."""
    return None if value in ("0", "0.0") else usd(name, value)


def one_of(*choices: Choice) -> Callable[[str, str], Choice]:
    """Reads one of these words, ignoring case."""

    def read(name: str, value: str) -> Choice:
        for choice in choices:
            if value.lower() == choice.lower():
                return choice
        # Not quoted: the value may be a key that was pasted into the wrong line.
        raise SettingsError(f"{name} must be one of {', '.join(choices)}")

    return read


def some_of(*choices: str) -> Callable[[str, str], tuple[str, ...]]:
    """Reads a comma-separated list of at least one of these words, ignoring case."""
    read = one_of(*choices)
    return lambda name, value: tuple(read(name, word) for word in names(name, value))


def flag(name: str, value: str) -> bool:
    """Reads `true` or `false`."""
    return one_of("true", "false")(name, value) == "true"
