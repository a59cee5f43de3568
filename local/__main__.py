"""`python -m local`, which is `make run`: serve until Ctrl-C.

Exit status: 0 when it has served, 130 when it was told to end before it did, 1 when it could not start. (In
the first hundredths of a second there is only the interpreter, which a signal ends in its own ways.)
"""

from __future__ import annotations

import os
import signal
import sys

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED_EARLY = 130  # as shells have it for SIGINT


def listen_to_signals() -> None:
    """End at once by a signal, from here until the stack listens itself: there is nothing yet to be ended.

    No exception could do that, for one that is raised in the middle of an import may be swallowed. A shell
    without job control starts background jobs with SIGINT ignored, and a parent may have blocked signals;
    neither is meant for us. An ignored SIGHUP is: that is `nohup`.
    """
    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(STOPPED_EARLY))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def main() -> int:
    """Run the stack; what keeps it from running is one sentence on standard error."""
    import asyncio
    from pathlib import Path

    sys.path.append(str(Path(__file__).parent.parent / "shared"))  # chat_stream, for the stack itself
    from local.aws.services import AwsServicesFailed
    from local.console import Terminal
    from local.settings import LocalSettings, LocalSettingsError
    from local.stack import PortTaken, run

    terminal = Terminal()
    listened = [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    try:
        settings = LocalSettings.from_environment(os.environ)
        has_served = asyncio.run(run(settings, terminal, listened))
    except (AwsServicesFailed, LocalSettingsError, PortTaken) as error:
        terminal.close()
        print(error, file=sys.stderr)
        return 1
    terminal.close()
    return 0 if has_served else STOPPED_EARLY


if __name__ == "__main__":
    listen_to_signals()
    sys.exit(main())
