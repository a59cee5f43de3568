"""`python -m lambda_stream` is the runtime process of a Lambda function; `exec-wrapper` starts it."""

from __future__ import annotations

import sys

from .runtime import main

if __name__ == "__main__":
    sys.exit(main())
