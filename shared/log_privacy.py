"""What must not be logged, at any level: keys, prompts, answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")

# At DEBUG botocore logs the bodies of requests and responses: that of Secrets Manager holds the key, those of
# Lambda and SQS hold the transcript. httpx logs each request at INFO, which our own record makes superfluous.
LIBRARIES = ("boto3", "botocore", "httpcore", "httpx", "urllib3")


def keep_libraries_quiet() -> None:
    """Let the libraries that see secrets log only warnings and errors, whatever the root logger's level."""
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


class UnexpectedError(Exception):
    """Replaces an exception whose message may quote anything. Keeps its type's name and its traceback."""


def redacted(
    function: Callable[P, Result], expected: tuple[type[BaseException], ...] = ()
) -> Callable[P, Result]:
    """`function`, but without the message of every exception that leaves it.

    An unexpected exception is reported and logged with its message, which may quote the data at hand:
    `KeyError` quotes the key, `UnicodeError` the text. The type and the traceback, which holds lines of code
    but no values, are enough to find the fault. The `expected` exceptions, which the caller handles, pass
    unchanged.
    """

    def call(*arguments: P.args, **named: P.kwargs) -> Result:
        try:
            return function(*arguments, **named)
        except expected:
            raise
        except Exception as error:  # noqa: BLE001 - any exception passes on, without its message
            raise UnexpectedError(type(error).__name__).with_traceback(error.__traceback__) from None

    return call
