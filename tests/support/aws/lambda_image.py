"""An image of Lambda's Python for `sam local`, made from this machine's files where AWS's own is unavailable.

It has the parts of AWS's image that the SAM CLI, its emulator and the functions use: Python in /var/lang,
AWS's runtime client and boto3 in /var/runtime, and a `bootstrap` that honours AWS_LAMBDA_EXEC_WRAPPER.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path

IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"  # the name that the SAM CLI uses
RUNTIME_CLIENT = "awslambdaric==4.2.2"
BOTO3 = ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3")
PROGRAMS = ("sh", "bash", "env", "mv", "chmod")  # called by the SAM CLI's Dockerfile and the bootstrap
START_PATIENCE_S = 60

BOOTSTRAP = """#!/bin/bash
export PYTHONPATH=/var/task:/opt/python:/var/runtime
set -- /var/lang/bin/python3.13 /var/runtime/bootstrap.py
exec ${AWS_LAMBDA_EXEC_WRAPPER:+"$AWS_LAMBDA_EXEC_WRAPPER"} "$@"
"""
BOOTSTRAP_PY = """import os
from awslambdaric.__main__ import main
main(["", os.environ["_HANDLER"]])
"""
SETTINGS = (
    "ENV PATH=/var/lang/bin:/usr/bin:/bin LD_LIBRARY_PATH=/var/lang/lib LAMBDA_TASK_ROOT=/var/task",
    "WORKDIR /var/task",
)


@contextmanager
def docker_engine(folder: Path) -> Iterator[dict[str, str]]:
    """Use a running Docker engine or start one. Yields the variables by which clients find it."""
    running = {name: os.environ[name] for name in ("DOCKER_HOST",) if os.environ.get(name)}
    if _answers(running):
        yield running
        return
    engine = {"DOCKER_HOST": f"unix://{folder}/docker.sock"}
    command = ["dockerd", "--host", engine["DOCKER_HOST"], "--pidfile", f"{folder}/dockerd.pid"]
    command += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(process, folder / "docker.sock")
        yield engine
    finally:
        process.terminate()
        process.wait(START_PATIENCE_S)


def make_image(engine: dict[str, str], python: Path, folder: Path) -> None:
    """Import the image into the engine.

    Args:
        python: this machine's python3.13, with pip; its installation becomes /var/lang.
        folder: an empty folder for the file system.
    """
    root = folder / "root"
    _install_runtime(python, root / "var" / "runtime")
    _install_python(python, root)
    for name in ("tmp", "etc", "var/task", "opt"):
        (root / name).mkdir(parents=True, exist_ok=True)
    archive = folder / "root.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname="/")
    changes = [argument for setting in SETTINGS for argument in ("--change", setting)]
    subprocess.run(["docker", "import", *changes, archive, IMAGE], env={**os.environ, **engine}, check=True)


def _answers(variables: dict[str, str]) -> bool:
    result = subprocess.run(
        ["docker", "version"], env={**os.environ, **variables}, capture_output=True, check=False
    )
    return result.returncode == 0


def _wait_for(process: subprocess.Popen[bytes], socket: Path) -> None:
    look = f"until docker --host unix://{socket} version; do kill -0 {process.pid} || exit 1; sleep 0.2; done"
    waiting = subprocess.run(["sh", "-c", look], capture_output=True, check=False, timeout=START_PATIENCE_S)
    if waiting.returncode:
        raise RuntimeError(f"dockerd did not start; see {socket.parent}/dockerd.log")


def _install_python(python: Path, root: Path) -> None:
    prefix = Path(
        subprocess.run(
            [python, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    lang = root / "var" / "lang"
    left_out = shutil.ignore_patterns(
        "test", "site-packages", "__pycache__", "config-3.13*", "*.a", "idlelib"
    )
    shutil.copytree(prefix / "lib" / "python3.13", lang / "lib" / "python3.13", ignore=left_out)
    for library in (prefix / "lib").glob("libpython3.13.so*"):
        shutil.copy(library, lang / "lib")
    (lang / "bin").mkdir()
    interpreter = Path(shutil.copy(python.resolve(), lang / "bin" / "python3.13"))
    programs = [Path(found) for name in PROGRAMS if (found := shutil.which(name))]
    for program in programs:
        (root / "bin").mkdir(exist_ok=True)
        shutil.copy(program.resolve(), root / "bin" / program.name)
    for library in _libraries([interpreter, *programs, *root.rglob("*.so")]):
        if not library.is_relative_to(prefix):
            (root / library.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
            shutil.copy(library, root / library.relative_to("/"))
    resolver = Path("/lib/x86_64-linux-gnu")
    for name in ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"):
        if (resolver / name).exists():
            shutil.copy(resolver / name, root / "lib" / "x86_64-linux-gnu" / name)
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        (root / "etc" / "ssl" / "certs").mkdir(parents=True)
        shutil.copy(certificates, root / "etc" / "ssl" / "certs")


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """The shared libraries that the programs are linked to."""
    listing = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in re.findall(r"(/\S+\.so[\w.]*) \(0x", listing)}


def _install_runtime(python: Path, runtime: Path) -> None:
    command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
    subprocess.run([python, *command, "--target", runtime, RUNTIME_CLIENT], check=True)
    for package in BOTO3:  # pure Python, so it can be copied from the environment of the tests
        for file in files(package) or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (runtime / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), runtime / file)
    (runtime / "bootstrap").write_text(BOOTSTRAP, encoding="utf-8")
    (runtime / "bootstrap").chmod(0o755)
    (runtime / "bootstrap.py").write_text(BOOTSTRAP_PY, encoding="utf-8")
