"""What may not be logged, at whatever level: keys, prompts, answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

# At DEBUG botocore logs the bodies of requests and answers: Secrets Manager's with the key in it, Lambda's
# and SQS's with the transcript. httpx logs each request at INFO, which our own record makes superfluous.
LIBRARIES = ("boto3", "botocore", "httpcore", "httpx", "urllib3")


def keep_libraries_quiet() -> None:
    """Have the libraries that see secrets log warnings and errors only, whatever the root logger's level."""
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


class UnexpectedError(Exception):
    """Stands for an exception whose words nobody has vouched for: has its type's name and its traceback."""


@contextmanager
def wordless_errors(*passed: type[BaseException]) -> Iterator[None]:
    """Take the words from every exception that leaves the block (or the function, as a decorator).

    What nobody expected is reported and logged with its message, and that may quote whatever was at hand:
    `KeyError` the key, `UnicodeError` the text. Type and traceback, which holds lines of code but no values,
    are enough to find the fault.

    Args:
        passed: kinds of exceptions that the caller handles; they stay as they are.
    """
    try:
        yield
    except passed:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it goes on, without its words
        raise UnexpectedError(type(error).__name__).with_traceback(error.__traceback__) from None
