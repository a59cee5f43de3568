"""What the environment says in numbers and words, believed only where it can be true.

An impossible value counts as absent, and is logged once a process. Before the log is set up, as the variables
are read that say how, logging writes such a line to standard error.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping, MutableMapping

_log = logging.getLogger("lambda_stream")

MAX_TIMEOUT_S = 15 * 60  # of a Lambda function
CLOCK_SKEW_S = 60  # between the clocks of the one who sets a deadline and of this process
# https://docs.aws.amazon.com/lambda/latest/api/API_LambdaManagedInstancesCapacityProviderConfig.html
MAX_CONCURRENCY = 1600
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")
_DESCRIPTOR = re.compile(r"[0-9]{1,9}")  # no more fits into a C int
_LOG_FORMATS = ("TEXT", "JSON")
_LOG_LEVELS = ("TRACE", *logging.getLevelNamesMapping())

_warned_of: set[str] = set()


def warn_once(name: str, message: str) -> None:
    """Log `message` about the variable or header `name`, unless that has been done."""
    if name not in _warned_of:
        _warned_of.add(name)
        _log.warning("%s %s", name, message)


def deadline_epoch_ms(text: str | None) -> int | None:
    """The deadline that the header Lambda-Runtime-Deadline-Ms gives; None without one that can be true.

    That is a whole number of milliseconds since the epoch, after now and within a function's longest
    timeout. An invocation that has just been handed out is not over: a deadline that has passed, if only by
    an instant, tells of clocks that differ or of another unit (emulators give a timeout, or seconds), not of
    the time that is left. Without a deadline the platform still ends the function at its own.
    """
    if text is None:
        return None
    now_ms = time.time() * 1000
    if _WHOLE_NUMBER.fullmatch(text) and now_ms < int(text) <= now_ms + (MAX_TIMEOUT_S + CLOCK_SKEW_S) * 1000:
        return int(text)
    _doubt("Lambda-Runtime-Deadline-Ms", text, "no moment of the next 15 minutes in ms since the epoch")
    return None


def max_concurrency(environ: Mapping[str, str]) -> int | None:
    """How many invocations AWS_LAMBDA_MAX_CONCURRENCY allows at a time; None without one that can be true."""
    text = environ.get("AWS_LAMBDA_MAX_CONCURRENCY")
    if text is None:
        return None
    if _WHOLE_NUMBER.fullmatch(text) and 1 <= int(text) <= MAX_CONCURRENCY:
        return int(text)
    _doubt("AWS_LAMBDA_MAX_CONCURRENCY", text, f"no whole number from 1 to {MAX_CONCURRENCY}")
    return None


def log_format(environ: Mapping[str, str]) -> str:
    """AWS_LAMBDA_LOG_FORMAT: TEXT, which is the default, or JSON."""
    return _word(environ, "AWS_LAMBDA_LOG_FORMAT", _LOG_FORMATS) or "TEXT"


def log_level(environ: Mapping[str, str]) -> str:
    """AWS_LAMBDA_LOG_LEVEL as logging names it, or ""."""
    level = _word(environ, "AWS_LAMBDA_LOG_LEVEL", _LOG_LEVELS)
    return "DEBUG" if level == "TRACE" else level


def telemetry_descriptor(environ: MutableMapping[str, str]) -> int | None:
    """The file descriptor that `_LAMBDA_TELEMETRY_LOG_FD` gives; None without one that can be written to.

    The variable is taken out of `environ`, as the stock client does: the descriptor is this process's alone.
    """
    name = "_LAMBDA_TELEMETRY_LOG_FD"
    text = environ.pop(name, None)
    if text is None:
        return None
    if _DESCRIPTOR.fullmatch(text) and _is_writable(int(text)):
        return int(text)
    _doubt(name, text, "no file descriptor that is open for writing")
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
        _doubt(name, environ[name], f"none of {', '.join(known)}")
        return ""
    return word


def _doubt(name: str, text: str, wrong: str) -> None:
    warn_once(name, f"is {text[:40]!r}, {wrong}: taken for absent")
