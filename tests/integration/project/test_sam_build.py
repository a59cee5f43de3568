"""`sam validate` and `sam build`; the stock runtime of `sam local` calls the handler that was built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from public.files import browser_file
from tests.support import byte_code
from tests.support.aws.sam import run_sam
from tests.support.aws.sam_artefacts import Build, Deployed
from tests.support.interpreters import find_python
from tests.support.project import PROJECT
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer

pytestmark = pytest.mark.timeout(600)  # the build downloads the layer's requirements

X86_64, AARCH64 = 62, 183  # e_machine, https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html

HANDLERS = {
    "StreamChatFunction": "app.py",
    "PublishTranscriptFunction": "handler.py",
    "ArchiveTranscriptsFunction": "archive_handler.py",
    "RedriveTranscriptsFunction": "redrive_handler.py",
}

# Artefact → where Lambda mounts it.
MOUNTED_AT = dict.fromkeys(HANDLERS, "/var/task") | dict.fromkeys(
    ["SharedLayer", "JwtLayerArm64", "JwtLayerX86"], "/opt"
)

MAGIC_3_13 = 3571  # https://github.com/python/cpython/blob/3.13/Include/internal/pycore_magic_number.h
UNCHECKED_HASH = 0b01  # https://peps.python.org/pep-0552/: hash-based (bit 0), unchecked (bit 1)

NO_UPSTREAM = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def build(sam: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    python = find_python("3.13")
    if python is None:
        pytest.skip("no python3.13 on this machine: `sam build` needs one")
    folder = tmp_path_factory.mktemp("sam")
    built = folder / "build"
    result = run_sam(
        sam, "build", "--build-dir", built, "--cache-dir", folder / "cache", first_on_path=python.parent
    )
    assert result.returncode == 0, result.stdout
    assert (built / "template.yaml").exists()
    return Build(python, built)


def event(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((PROJECT / "events" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def content_type(returned: dict[str, Any]) -> str:
    headers = {name.lower(): value for name, value in returned["headers"].items()}
    return str(headers["content-type"])


def test_template_passes_cfn_lint(sam: Path) -> None:
    result = run_sam(sam, "validate", "--lint")
    assert result.returncode == 0, result.stdout
    assert "is a valid SAM Template" in result.stdout


def test_layer_holds_the_packages_and_an_executable_wrapper(build: Build) -> None:
    python = build.layer / "python"
    wrapper = python / "lambda_stream" / "exec-wrapper"
    assert wrapper.stat().st_mode & 0o111, "not executable"
    for package in ("lambda_stream", "chat_stream", "httpx", "aws_lambda_powertools"):
        assert (python / package / "__init__.py").exists(), package


def test_layer_holds_certifis_certificates_where_openssl_looks_them_up(build: Build) -> None:
    certifi = build.layer / "python" / "certifi"
    bundle = (certifi / "cacert.pem").read_text(encoding="utf-8")
    assert len(list((certifi / "hashed").iterdir())) == bundle.count("BEGIN CERTIFICATE") > 100
    program = "from upstream.certificates import trusted_certificates as t; print(t().cert_store_stats())"
    result = subprocess.run(
        [build.python, "-c", program],
        env={"PYTHONPATH": os.pathsep.join([str(build.function), str(build.layer / "python")])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'x509': 0" in result.stdout, "the list was parsed"


def test_artefacts_hold_only_what_is_deployed(build: Build) -> None:
    folders = [build.layer / "python", *(build.folder / function for function in HANDLERS)]
    names = {path.name for folder in folders for path in folder.iterdir()}
    # The managed runtime brings boto3.
    assert not names & {"boto3", "botocore", "tests", "local", "pytest", "bin"}


def test_shared_layer_runs_on_both_architectures(build: Build) -> None:
    assert list(build.layer.rglob("*.so")) == []


@pytest.mark.parametrize(("layer", "machine"), [("JwtLayerArm64", AARCH64), ("JwtLayerX86", X86_64)])
def test_layer_of_the_token_library_is_built_for_its_architecture(
    build: Build, layer: str, machine: int
) -> None:
    python = build.folder / layer / "python"
    assert (python / "jwt" / "__init__.py").exists()
    libraries = list(python.rglob("*.so"))
    assert any(library.is_relative_to(python / "cryptography") for library in libraries)
    assert {elf_machine(library) for library in libraries} == {machine}


def elf_machine(library: Path) -> int:
    """The architecture of a shared library: e_machine in its ELF header."""
    header = library.read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    return int.from_bytes(header[18:20], "little")


@pytest.mark.parametrize(("function", "handler"), HANDLERS.items())
def test_function_holds_its_handler_and_no_copy_of_the_layer(
    build: Build, function: str, handler: str
) -> None:
    artefact = build.folder / function
    assert (artefact / handler).exists()
    assert not (artefact / "lambda_stream").exists()
    assert not (artefact / "chat_stream").exists()


@pytest.mark.parametrize("name", ["chat-text-get", "chat-text-post"])
def test_text_is_returned_whole(build: Build, replay: ReplayUpstream, name: str) -> None:
    replay.answer("gpt-6-luna", Reply(answer("It ", "scatters.")))
    returned = build.invoke(event(name), replay.url)
    assert (returned["statusCode"], returned["body"]) == (200, "It scatters.")
    assert content_type(returned) == "text/plain; charset=utf-8"
    assert returned["isBase64Encoded"] is False


def test_bad_request_names_its_field(build: Build) -> None:
    returned = build.invoke(event("bad-request-no-messages"), NO_UPSTREAM)
    assert returned["statusCode"] == 400
    assert json.loads(returned["body"])["error"]["param"] == "messages"


def test_playground_is_served_whole(build: Build) -> None:
    returned = build.invoke(event("playground"), NO_UPSTREAM)
    assert (returned["statusCode"], content_type(returned)) == (200, "text/html; charset=utf-8")
    assert returned["body"].encode() == browser_file("playground.html").body


@pytest.mark.parametrize(("artefact", "mounted_at"), MOUNTED_AT.items())
def test_every_module_has_byte_code_for_python_3_13_that_is_valid_for_any_file_time(
    build: Build, artefact: str, mounted_at: str
) -> None:
    result = subprocess.run(
        [build.python, "-I", byte_code.__file__, build.folder / artefact],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(result.stdout)
    assert found
    wanted = {"magic": MAGIC_3_13, "flags": UNCHECKED_HASH, "of_this_source": True}
    wrong = {
        module: what
        for module, what in found.items()
        if what != {**wanted, "traceback": f"{mounted_at}/{module}"}
    }
    assert wrong == {}


def test_byte_code_of_every_artefact_is_tested(build: Build) -> None:
    assert {path.name for path in build.folder.iterdir() if path.is_dir()} == set(MOUNTED_AT)


@pytest.fixture
def deployed(build: Build, tmp_path: Path) -> Deployed:
    copies = Deployed(build.python, tmp_path / "task", tmp_path / "opt")
    for source, copy in [(build.function, copies.function), (build.layer, copies.layer)]:
        shutil.copytree(source, copy)
        for file in copy.rglob("*"):
            os.utime(file, (315532800, 315532800))  # 1980-01-01, the time of all files in SAM's zips
    return copies


def test_byte_code_is_used_so_that_a_cold_start_compiles_nothing(deployed: Deployed) -> None:
    files = deployed.load()
    python = deployed.layer / "python"
    some = [
        deployed.function / "app.py",
        python / "lambda_stream" / "runtime.py",
        python / "httpcore" / "__init__.py",
    ]
    assert {str(file) for file in some} <= files["loaded"]
    assert files["compiled"] == set()


def test_without_the_byte_code_a_cold_start_compiles_every_module(deployed: Deployed) -> None:
    for folder in (deployed.function, deployed.layer):
        for cache in list(folder.rglob("__pycache__")):
            shutil.rmtree(cache)
    files = deployed.load()
    assert len(files["loaded"]) > 50
    assert files["compiled"] >= files["loaded"]  # also modules that failed to import an optional package


@pytest.mark.parametrize(
    "interpreter",
    [
        None,
        "echo 'python3.13: command not found' >&2; exit 127",  # pyenv's shim of a disabled version
        pytest.param(
            f"exec '{sys.executable}' \"$@\"",
            marks=pytest.mark.skipif(sys.version_info[:2] == (3, 13), reason="this is Python 3.13"),
        ),
    ],
    ids=["none", "disabled", "another version"],
)
def test_build_without_python_3_13_names_the_requirement(tmp_path: Path, interpreter: str | None) -> None:
    (programs := tmp_path / "bin").mkdir()
    if interpreter:
        (programs / "python3.13").write_text(f"#!/bin/sh\n{interpreter}\n", encoding="utf-8")
        (programs / "python3.13").chmod(0o755)
    make = shutil.which("make")
    assert make
    result = subprocess.run(
        [make, "--makefile", PROJECT / "artefacts" / "Makefile", "build-StreamChatFunction"],
        cwd=PROJECT / "functions" / "stream_chat",
        env={"PATH": str(programs), "ARTIFACTS_DIR": str(tmp_path / "artefact")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert result.stderr.startswith("sam build needs CPython 3.13, with pip, on the PATH as python3.13: ")
    assert not (tmp_path / "artefact").exists()
