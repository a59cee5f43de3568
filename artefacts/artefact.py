"""Build one artefact of `sam build`: the sources of a folder, the packages they require, and their byte code.

Lambda mounts functions and layers read-only, so a module without byte code is compiled again at every cold
start. SAM's own builder for Python leaves byte code out, and calls nothing afterwards that could add it.

The byte code is that of the Python which runs this module; the Makefile ensures that it is Lambda's version.
It is never checked against its source (PEP 552): files have other times on Lambda, and the two are always
deployed together.

The list of certificates that certifi brings is also stored as OpenSSL's folder of hashed certificates:
parsing the list costs a cold start 20 ms, looking one certificate up less than one.

`sam build` reuses a cached layer while the layer's own folder is unchanged: after a change to this module,
run it with `--no-cached`.
"""

from __future__ import annotations

import compileall
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from py_compile import PycInvalidationMode

from hashed_certificates import write_hashed_certificates

# Left in a source folder by running, testing and editing.
NOT_DEPLOYED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def build(source: Path, mounted_at: str, target: Path, platforms: Sequence[str]) -> None:
    """Fill `target`, which Lambda mounts at `mounted_at`, with the folder `source` and its required packages.

    `platforms` are the tags of the wheels that may be installed, the best first; "any" is pure Python. Exits
    with one sentence if a package cannot be installed or a module cannot be compiled.
    """
    requirements = source / "requirements.txt"
    if requirements.exists():
        _install(requirements, target, platforms)
        _hash_certificates(target / "certifi")
    shutil.copytree(source, target, ignore=NOT_DEPLOYED, dirs_exist_ok=True)
    _compile(target, mounted_at)


def _install(requirements: Path, target: Path, platforms: Sequence[str]) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
    options += ["--no-deps", "--require-hashes"]  # the lock files are complete
    options += ["--only-binary", ":all:", "--abi", "cp313"]
    for platform in platforms:
        options += ["--platform", platform]
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), "-r", str(requirements)]
    if subprocess.run(pip, check=False).returncode != 0:
        sys.exit(f"pip could not install {requirements.name} for {' '.join(platforms)}")
    # The commands of packages name this machine's Python as their interpreter.
    shutil.rmtree(target / "bin", ignore_errors=True)


def _hash_certificates(certifi: Path) -> None:
    bundle = certifi / "cacert.pem"
    if bundle.exists():
        (folder := certifi / "hashed").mkdir()
        write_hashed_certificates(bundle.read_text(encoding="utf-8"), folder)


def _compile(target: Path, mounted_at: str) -> None:
    compiled = compileall.compile_dir(
        target,
        quiet=1,
        stripdir=target,
        prependdir=mounted_at,
        optimize=0,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        sys.exit("some modules do not compile: see above")


if __name__ == "__main__":
    build(Path.cwd(), sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
