"""What may not be logged, at whatever level: keys, prompts, answers."""

from __future__ import annotations

import logging

# At DEBUG botocore logs the bodies of requests and answers: Secrets Manager's with the key in it, Lambda's
# and SQS's with the transcript. httpx logs each request at INFO, which our own record makes superfluous.
LIBRARIES = ("boto3", "botocore", "httpcore", "httpx", "urllib3")


def keep_libraries_quiet() -> None:
    """Have the libraries that see secrets log warnings and errors only, whatever the root logger's level."""
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
