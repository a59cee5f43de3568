"""Environment variables and headers of the platform as numbers and words, used only if they are plausible.

An implausible value is treated as absent, with one warning for each process. The variables that configure the
log are read before the log is set up: until then `logging` writes such a warning to standard error.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping, MutableMapping

_log = logging.getLogger("lambda_stream")

MAX_TIMEOUT_S = 15 * 60  # of a Lambda function
CLOCK_SKEW_S = 60  # allowed between the clock that set the deadline and this machine's
# https://docs.aws.amazon.com/lambda/latest/api/API_LambdaManagedInstancesCapacityProviderConfig.html
MAX_CONCURRENCY = 1600
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")
_DESCRIPTOR = re.compile(r"[0-9]{1,9}")  # any more digits could overflow a C int
_LOG_FORMATS = ("TEXT", "JSON")
_LOG_LEVELS = ("TRACE", *logging.getLevelNamesMapping())

_warned_of: set[str] = set()


def warn_once(name: str, message: str) -> None:
    """Log `message` about the variable or header `name`, once for each name in this process."""
    if name not in _warned_of:
        _warned_of.add(name)
        _log.warning("%s %s", name, message)


def deadline_epoch_ms(text: str | None) -> int | None:
    """The deadline in the header Lambda-Runtime-Deadline-Ms; None if it is absent or implausible.

    A plausible deadline is a whole number of milliseconds since the epoch, in the future and no further away
    than a function's longest timeout. A deadline in the past cannot be right for an invocation that has just
    been handed out: either the clocks differ, or the value has another unit (emulators give a timeout, or
    seconds). Without a deadline the platform still ends the function at its own.
    """
    if text is None:
        return None
    now_ms = time.time() * 1000
    if _WHOLE_NUMBER.fullmatch(text) and now_ms < int(text) <= now_ms + (MAX_TIMEOUT_S + CLOCK_SKEW_S) * 1000:
        return int(text)
    _warn_ignored("Lambda-Runtime-Deadline-Ms", text, "not a time within the next 15 minutes in epoch ms")
    return None


def max_concurrency(environ: Mapping[str, str]) -> int | None:
    """AWS_LAMBDA_MAX_CONCURRENCY: how many invocations may run at a time; None if absent or implausible."""
    text = environ.get("AWS_LAMBDA_MAX_CONCURRENCY")
    if text is None:
        return None
    if _WHOLE_NUMBER.fullmatch(text) and 1 <= int(text) <= MAX_CONCURRENCY:
        return int(text)
    _warn_ignored("AWS_LAMBDA_MAX_CONCURRENCY", text, f"not a whole number from 1 to {MAX_CONCURRENCY}")
    return None


def log_format(environ: Mapping[str, str]) -> str:
    """AWS_LAMBDA_LOG_FORMAT: "TEXT" (the default) or "JSON"."""
    return _word(environ, "AWS_LAMBDA_LOG_FORMAT", _LOG_FORMATS) or "TEXT"


def log_level(environ: Mapping[str, str]) -> str:
    """AWS_LAMBDA_LOG_LEVEL as a level name of `logging`; "" if absent or unknown."""
    level = _word(environ, "AWS_LAMBDA_LOG_LEVEL", _LOG_LEVELS)
    return "DEBUG" if level == "TRACE" else level


def telemetry_descriptor(environ: MutableMapping[str, str]) -> int | None:
    """The file descriptor in `_LAMBDA_TELEMETRY_LOG_FD`; None if it is absent or not open for writing.

    The variable is removed from `environ`, as the stock client does: child processes must not use it.
    """
    name = "_LAMBDA_TELEMETRY_LOG_FD"
    text = environ.pop(name, None)
    if text is None:
        return None
    if _DESCRIPTOR.fullmatch(text) and _is_writable(int(text)):
        return int(text)
    _warn_ignored(name, text, "not a file descriptor that is open for writing")
    return None


def _is_writable(descriptor: int) -> bool:
    import fcntl

    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return False


def _word(environ: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    word = environ.get(name, "").strip().upper()
    if word and word not in known:
        _warn_ignored(name, environ[name], f"not one of {', '.join(known)}")
        return ""
    return word


def _warn_ignored(name: str, text: str, problem: str) -> None:
    warn_once(name, f"is {text[:40]!r}, {problem}: ignored")
