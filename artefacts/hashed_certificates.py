"""Certificates in the folder layout of OpenSSL's `capath`: each in a file named after its subject's hash.

OpenSSL then reads only the certificate that a handshake needs, instead of parsing the whole list at start.
This is what `openssl rehash` does, in Python, because not every machine that builds has that program.
https://docs.openssl.org/3.0/man1/openssl-rehash/
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)
_SEQUENCE, _SET, _UTF8_STRING, _EXPLICIT_0 = 0x30, 0x31, 0x0C, 0xA0
# The string types that OpenSSL canonicalises (x509/x_name.c, ASN1_MASK_CANON), with their encodings.
_ENCODINGS = {0x0C: "utf-8", 0x13: "latin-1", 0x14: "latin-1", 0x16: "latin-1", 0x1A: "latin-1",
              0x1C: "utf-32-be", 0x1E: "utf-16-be"}  # fmt: skip


def write_hashed_certificates(bundle: str, folder: Path) -> int:
    """Write each certificate of a PEM bundle to `folder`/<subject hash>.<number>; returns how many."""
    seen: Counter[str] = Counter()
    for pem in _PEM.findall(bundle):
        name = subject_hash(ssl.PEM_cert_to_DER_cert(pem))
        (folder / f"{name}.{seen[name]}").write_text(pem, encoding="ascii")
        seen[name] += 1
    return seen.total()


def subject_hash(certificate: bytes) -> str:
    """OpenSSL's X509_NAME_hash of a DER certificate's subject: the SHA-1 of its canonical form, shortened."""
    (_, content, _), *_ = _values(certificate)
    (_, fields, _), *_ = _values(content)
    values = [value for value in _values(fields) if value[0] != _EXPLICIT_0]  # the version is optional
    _, subject, _ = values[4]  # serial number, signature, issuer, validity, subject
    canonical = b"".join(_canonical_set(names) for _, names, _ in _values(subject))
    return hashlib.sha1(canonical, usedforsecurity=False).digest()[3::-1].hex()


def _canonical_set(names: bytes) -> bytes:
    """One relative name: its attributes with values in lower case, spaces collapsed, as UTF8String."""
    attributes = []
    for _, attribute, _ in _values(names):
        (_, _, identifier), (tag, value, whole) = _values(attribute)
        if tag in _ENCODINGS:
            text = value.decode(_ENCODINGS[tag]).encode()
            # Of ASCII only, like OpenSSL's ossl_isspace and ossl_tolower.
            text = re.sub(rb"[ \t\n\v\f\r]+", b" ", text.strip(b" \t\n\v\f\r"))
            whole = _encoded(_UTF8_STRING, text.lower())
        attributes.append(_encoded(_SEQUENCE, identifier + whole))
    return _encoded(_SET, b"".join(sorted(attributes)))


def _values(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each DER value in `data`: tag, content and the whole value."""
    at = 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(data[start : start + size], "big"), start + size
        yield tag, data[start : start + length], data[at : start + length]
        at = start + length


def _encoded(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content
