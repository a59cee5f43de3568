"""The trusted certificates, read early by a thread or later from another location."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.network.loopback_tls import server_tls
from tests.support.project import PROJECT
from upstream import certificates as module
from upstream.certificates import trusted_certificates

FUNCTION = PROJECT / "functions" / "stream_chat"


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_by_default_mozillas_list_is_trusted_and_hostnames_are_checked() -> None:
    context = trusted_certificates()
    assert context.cert_store_stats()["x509_ca"] > 100
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_folder_of_hashed_certificates_replaces_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hashed").mkdir()
    monkeypatch.setattr("certifi.__file__", str(tmp_path / "__init__.py"))
    context = trusted_certificates()
    assert context.cert_store_stats()["x509"] == 0, "the list was parsed"
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_certificates_read_early_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    early = module._Reading(module._Places.from_environment())
    monkeypatch.setattr(module, "_EARLY", early)
    assert trusted_certificates() is trusted_certificates() is early.context


def test_ssl_cert_file_replaces_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = tmp_path / "certificate.pem"
    server_tls(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert trusted_certificates().cert_store_stats()["x509"] == 1


def test_ssl_cert_dir_replaces_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert trusted_certificates().cert_store_stats()["x509"] == 0


def test_a_missing_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/certificates.pem")
    with pytest.raises(OSError, match="No such file"):
        trusted_certificates()


def test_a_thread_reads_the_certificates_during_the_import() -> None:
    program = (
        "import sys, threading; sys.path.insert(0, sys.argv[1]); import upstream.certificates as t; "
        "assert isinstance(t._EARLY, threading.Thread); print(t.trusted_certificates().check_hostname)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(FUNCTION)], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "True\n"


def test_a_process_that_ends_at_once_waits_until_the_certificates_are_read() -> None:
    program = (
        "import ssl, sys, time; sys.path.insert(0, sys.argv[1]); "
        "ssl.create_default_context = lambda **_: time.sleep(0.2) or print('read'); "
        "import upstream.certificates"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(FUNCTION)], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "read\n")


def test_the_function_imports_certificates_first() -> None:
    source = (FUNCTION / "app.py").read_text(encoding="utf-8")
    imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert imports[1].startswith(f"import {module.__name__}")  # after `from __future__`
