"""`python -m local`, which is `make run`: serve until Ctrl-C.

Exit status: 0 if the stack has served, 130 if a signal ended it before that, 1 if it could not start.

Two signals cannot be noticed here. While the interpreter loads (0.05 s, on a busy machine 0.2 s), the kernel
discards a SIGINT that the process was started to ignore. And `make` passes SIGTERM on to the stack, but not
SIGINT: a Ctrl-C goes to both, but `kill -INT` of `make` reaches only `make`.
"""

from __future__ import annotations

import os
import signal
import sys

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED_EARLY = 130  # the status that shells give for SIGINT


def listen_to_signals() -> None:
    """Let a stop signal end the process at once, until the stack installs its own handlers.

    Nothing has been started yet that would have to be stopped first. The handler exits instead of raising,
    since an exception raised in the middle of an import may be swallowed. A shell without job control starts
    background jobs with SIGINT ignored, and a parent may have blocked signals: neither is meant for the
    stack. An ignored SIGHUP is: that is `nohup`.
    """
    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(STOPPED_EARLY))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def main() -> int:
    """Run the stack. If it cannot start, the reason is one sentence on standard error."""
    import asyncio
    from pathlib import Path

    sys.path.append(str(Path(__file__).parent.parent / "shared"))  # chat_stream, for the stack itself
    from local.aws.services import AwsServicesError
    from local.console import Terminal
    from local.settings import LocalSettings, LocalSettingsError
    from local.stack import PortInUseError, run

    terminal = Terminal()
    listened = [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    try:
        settings = LocalSettings.from_environment(os.environ)
        for warning in settings.warnings:
            terminal.print_line(warning)
        has_served = asyncio.run(run(settings, terminal, listened))
    except (AwsServicesError, LocalSettingsError, PortInUseError) as error:
        terminal.close()
        print(error, file=sys.stderr)
        return 1
    terminal.close()
    return 0 if has_served else STOPPED_EARLY


if __name__ == "__main__":
    listen_to_signals()
    sys.exit(main())
