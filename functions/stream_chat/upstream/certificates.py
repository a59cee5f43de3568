"""The certificates trusted for the upstream: Mozilla's list, or those that the environment names.

OpenSSL needs 20 ms to read the list, a sixth of a cold start, and does not hold the GIL meanwhile. So a
thread starts when this module is imported, and `app` imports it before all others.
"""

from __future__ import annotations

import os
import ssl
import threading
from typing import NamedTuple

import certifi


class _Places(NamedTuple):
    """The locations of the certificates, from OpenSSL's own variables."""

    file: str | None
    folder: str | None

    @classmethod
    def from_environment(cls) -> _Places:
        file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        return cls(file or (None if folder else certifi.where()), folder or None)


class _Reading(threading.Thread):
    def __init__(self, places: _Places) -> None:
        super().__init__(name="trusted-certificates", daemon=True)
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
