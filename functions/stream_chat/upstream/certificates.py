"""The certificates trusted for the upstream: Mozilla's list, or those that the environment names.

OpenSSL needs 20 ms to parse the list, a sixth of a cold start. So `sam build` also stores it as a folder of
hashed certificates, in which OpenSSL looks up only the one that a handshake needs. Without such a folder a
thread parses the list in parallel, because OpenSSL does not hold the GIL meanwhile. The thread starts
when this module is imported, and `app` imports it before all others.
"""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path
from typing import NamedTuple

import certifi


class _Places(NamedTuple):
    """The locations of the certificates, from OpenSSL's own variables."""

    file: str | None
    folder: str | None

    @classmethod
    def from_environment(cls) -> _Places:
        file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        if file or folder:
            return cls(file or None, folder or None)
        package = Path(certifi.__file__).parent  # certifi.where() imports `zipfile`, which costs 2 ms
        hashed = package / "hashed"
        return cls(None, str(hashed)) if hashed.is_dir() else cls(str(package / "cacert.pem"), None)


class _Reading(threading.Thread):
    def __init__(self, places: _Places) -> None:
        # Not a daemon: a process that ended while OpenSSL reads crashed now and then (status -11).
        super().__init__(name="trusted-certificates", daemon=False)
        self.places = places
        self.context: ssl.SSLContext | None = None
        self.error: OSError | None = None  # includes ssl.SSLError
        self.start()

    def run(self) -> None:
        try:
            self.context = ssl.create_default_context(cafile=self.places.file, capath=self.places.folder)
        except OSError as error:
            self.error = error


_EARLY = _Reading(_Places.from_environment())


def trusted_certificates() -> ssl.SSLContext:
    """A TLS context with the certificates in SSL_CERT_FILE and SSL_CERT_DIR, by default certifi's.

    Raises OSError if they cannot be read.
    """
    places = _Places.from_environment()
    reading = _EARLY if _EARLY.places == places else _Reading(places)
    reading.join()
    if reading.context is None:
        assert reading.error is not None
        raise reading.error
    return reading.context
