"""Whom the relay trusts to be its upstream: the certificates of Mozilla's list, or the environment's own."""

from __future__ import annotations

import os
import ssl


def trusted_certificates() -> ssl.SSLContext:
    """TLS with the certificates in SSL_CERT_FILE or SSL_CERT_DIR, or else certifi's."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        import certifi

        file = certifi.where()
    return ssl.create_default_context(cafile=file, capath=None if file else folder)
