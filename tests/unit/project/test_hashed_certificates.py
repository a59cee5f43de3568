"""The certificates that `sam build` stores for OpenSSL's lookup by hash."""

from __future__ import annotations

import datetime
import re
import ssl
from pathlib import Path
from typing import Any

import certifi
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type as StringType
from cryptography.x509.oid import NameOID

from hashed_certificates import subject_hash, write_hashed_certificates

# As `openssl x509 -noout -hash` prints it.
LABELLED = re.compile(r'# Label: "(.+)"\n(?:#.*\n)*(-----BEGIN[^#]+?END CERTIFICATE-----\n)')
KNOWN = {"ISRG Root X1": "4042bcee", "Amazon Root CA 1": "ce5e74ef", "Amazon Root CA 3": "8cb5ee0f"}

AUTHORITIES = {
    "plain": {"organization_name": "An Authority"},
    "spaces and capitals": {"organization_name": "  AN   Authority  ", "organization_unit_name": "A \t B"},
    "not ASCII": {"organization_name": "Ünïcode ÅUTHORITY 證", "organization_unit_name": "É"},
    "long": {"organization_name": "x" * 60, "organization_unit_name": "y" * 60},
}


def pem_of(name: x509.Name) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, moment, moment)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A TLS handshake in memory. Raises SSLCertVerificationError if the client does not trust the server."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    asking = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for side in (asking, serving, asking, serving):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize("names", AUTHORITIES.values(), ids=AUTHORITIES)
def test_openssl_finds_an_authority_in_the_folder_and_trusts_no_other(
    tmp_path: Path, names: dict[str, Any]
) -> None:
    authority, other = trustme.CA(**names), trustme.CA(**names)  # of the same subject
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    one, both = tmp_path / "one", tmp_path / "both"
    pem, other_pem = authority.cert_pem.bytes().decode(), other.cert_pem.bytes().decode()
    for folder, bundle in ((one, other_pem), (both, other_pem + pem)):
        folder.mkdir()
        write_hashed_certificates(bundle, folder)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, ssl.create_default_context(capath=str(one)))
    handshake(server, ssl.create_default_context(capath=str(both)))


def test_every_certificate_of_certifi_is_stored_under_its_hash(tmp_path: Path) -> None:
    bundle = Path(certifi.where()).read_text(encoding="utf-8")
    count = write_hashed_certificates(bundle, tmp_path)
    stored = list(tmp_path.iterdir())
    assert count == len(stored) == bundle.count("-----BEGIN CERTIFICATE-----") > 100
    names = {file.read_text(encoding="utf-8"): file.stem for file in stored}
    found = {label: names[pem] for label, pem in LABELLED.findall(bundle)}
    assert found.items() >= KNOWN.items()


@pytest.mark.parametrize(
    "kind", ["UTF8String", "PrintableString", "BMPString", "T61String", "UniversalString"]
)
def test_the_hash_does_not_depend_on_the_string_type_capitals_or_spaces(kind: str) -> None:
    def hash_of(text: str, string_type: str) -> str:
        attribute = x509.NameAttribute(NameOID.COMMON_NAME, text, StringType[string_type], _validate=False)
        return subject_hash(ssl.PEM_cert_to_DER_cert(pem_of(x509.Name([attribute]))))

    assert hash_of(" AN  Authority ", kind) == hash_of("an authority", "UTF8String")
    assert hash_of("another", kind) != hash_of("an authority", "UTF8String")
