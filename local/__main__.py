"""`python -m local`, which is `make run`: serve until Ctrl-C. Exit status 0, or 1 when it could not start."""

from __future__ import annotations

import sys
from pathlib import Path

LAYER = Path(__file__).parent.parent / "shared"  # chat_stream, for the stack itself


def main() -> int:
    """Run the stack; what keeps it from running is one sentence on standard error."""
    try:
        import asyncio
        import os

        sys.path.append(str(LAYER))
        from local.aws_services import AwsServicesFailed
        from local.console import Terminal
        from local.local_settings import LocalSettings, LocalSettingsError
        from local.stack import PortTaken, run

        terminal = Terminal()
        try:
            asyncio.run(run(LocalSettings.from_environment(os.environ), terminal))
        except (AwsServicesFailed, LocalSettingsError, PortTaken) as error:
            terminal.close()
            print(error, file=sys.stderr)
            return 1
        terminal.close()
    except KeyboardInterrupt:  # before the stack listens to signals itself
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
