"""The system's Firefox without a driver: it opens one page, and the page reports what it has seen."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import tempfile
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.network.loopback_server import LoopbackServer, QuietRequest

NAMES = ("firefox", "firefox-esr")
PATIENCE_S = 60


def firefox() -> str | None:
    """The program; None if this machine has none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def reported_by(script: str) -> Any:
    """Run a script in a page, and return what it passes to `report`."""
    program = firefox()
    assert program is not None
    page = f"""<!doctype html><title>t</title><link rel=icon href=data:,><script type=module>
      const report = (seen) => fetch("/", {{ method: "POST", body: JSON.stringify(seen) }});
      {script}</script>"""
    reports: queue.Queue[bytes] = queue.Queue()

    class Handler(QuietRequest, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(page.encode())

        def do_POST(self) -> None:
            reports.put(self.rfile.read(int(self.headers["content-length"])))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with LoopbackServer(Handler) as server, tempfile.TemporaryDirectory() as profile:
        command = [program, "--headless", "--no-remote", "--profile", profile, server.url]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return json.loads(reports.get(timeout=PATIENCE_S))
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
