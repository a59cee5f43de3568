"""What `make` prints while it installs packages, and the environments that it makes."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.project import PROJECT
from tests.support.runtime.local_stack import assert_all_end, children_of

NAMES = ("tiny", "small")
# As `make` runs it: outside any environment, with a pip of its own.
PYTHON = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
WAIT_S = 100.0  # making the environment takes long on a busy machine


def wheel(folder: Path, name: str) -> str:
    """Make a wheel that has only metadata. Returns its line of a lock file."""
    file = folder / f"{name}-1.0-py3-none-any.whl"
    metadata = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{metadata}/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    lock = tmp_path / "requirements.txt"
    lock.write_text("".join(wheel(tmp_path, name) for name in NAMES), encoding="utf-8")
    return lock


def command(folder: Path, lock_file: Path) -> list[str | Path]:
    return [PYTHON, "-m", "local.virtual_environment", folder, lock_file]


def environment(find_links: str) -> dict[str, str]:
    """pip's settings: wheels are found here and nowhere else."""
    return {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": find_links}


def set_up(folder: Path, lock_file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, lock_file),
        cwd=PROJECT,
        env=environment(str(lock_file.parent)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_lock_file_is_installed_unless_a_hash_is_wrong_and_the_terminal_shows_the_progress(
    tmp_path: Path, lock_file: Path
) -> None:
    folder = tmp_path / "venv"
    made = set_up(folder, lock_file)
    assert (made.returncode, made.stderr) == (0, "")
    first, *_, last = made.stdout.splitlines()
    assert first == f"Setting up {folder} from {lock_file} (once)"
    assert last == f"  {folder}: 2 packages ready, 2 installed"
    program = "from importlib.metadata import version; print(version('tiny'), version('small'))"
    versions = subprocess.run([folder / "bin" / "python", "-c", program], capture_output=True, check=True)
    assert versions.stdout == b"1.0 1.0\n"
    installed, more = lock_file.read_text(), wheel(tmp_path, "more")
    lock_file.write_text(f"{installed}more==1.0 --hash=sha256:{64 * '0'}\n", encoding="utf-8")
    refused = set_up(folder, lock_file)
    assert refused.returncode != 0
    assert "Expected sha256 0000" in refused.stderr  # pip's own message
    # Installed packages stay when the lock file gains one.
    lock_file.write_text(installed + more, encoding="utf-8")
    assert set_up(folder, lock_file).stdout.endswith("3 packages ready, 1 installed\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_installation_even_in_a_background_job_of_a_shell(
    tmp_path: Path, lock_file: Path, number: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts pip's connection and never answers
        silent.settimeout(WAIT_S)
        background_job = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
        process = subprocess.Popen(
            [*background_job, *command(tmp_path / "venv", lock_file)],
            cwd=PROJECT,
            env=environment(f"http://127.0.0.1:{silent.getsockname()[1]}/"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        with silent.accept()[0]:
            installing = children_of(process.pid)
            process.send_signal(number)
            _, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, errors) == (130, b"")
    assert installing
    assert_all_end(installing, limit_s=WAIT_S)
