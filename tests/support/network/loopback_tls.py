"""A certificate for 127.0.0.1, and an authority that clients can trust."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


def server_tls(certificate: Path) -> ssl.SSLContext:
    """Write a new authority's certificate to the file, for clients to trust. Returns the server's context."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context
