"""Whom the relay trusts to be its upstream: the certificates of Mozilla's list, or the environment's own.

To read the list takes OpenSSL 20 ms, a sixth of a cold start; it holds no lock of Python's meanwhile. So a
thread begins when this module is imported, and `app` imports it before all others.
"""

from __future__ import annotations

import os
import ssl
import threading
from typing import NamedTuple

import certifi


class _Places(NamedTuple):
    """Where the certificates are, as OpenSSL's own variables name it."""

    file: str | None
    folder: str | None

    @classmethod
    def named(cls) -> _Places:
        file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        return cls(file or (None if folder else certifi.where()), folder or None)


class _Reading(threading.Thread):
    def __init__(self, places: _Places) -> None:
        super().__init__(name="trusted-certificates", daemon=True)
        self.places = places
        self.context: ssl.SSLContext | None = None
        self.error: OSError | None = None  # ssl.SSLError is one
        self.start()

    def run(self) -> None:
        try:
            self.context = ssl.create_default_context(cafile=self.places.file, capath=self.places.folder)
        except OSError as error:
            self.error = error


_EARLY = _Reading(_Places.named())


def trusted_certificates() -> ssl.SSLContext:
    """TLS with the certificates in SSL_CERT_FILE and SSL_CERT_DIR, or else certifi's.

    Raises OSError where they cannot be read.
    """
    places = _Places.named()
    reading = _EARLY if _EARLY.places == places else _Reading(places)
    reading.join()
    if reading.context is None:
        assert reading.error is not None
        raise reading.error
    return reading.context
