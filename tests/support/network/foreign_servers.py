"""Wait for server programs of third parties, which do not report when they are ready."""

from __future__ import annotations

import socket
import time

PATIENCE_S = 10.0


def wait_for_port(port: int) -> None:
    """Wait until this port on loopback accepts connections. Raises OSError if not within PATIENCE_S."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)
        else:
            return
