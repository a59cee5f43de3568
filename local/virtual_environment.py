"""`python3 -m local.virtual_environment FOLDER LOCK_FILE`: make a virtual environment of the locked packages.

It runs before anything is installed, so it uses only the standard library. It installs with the pip of the
Python that runs it, if there is one, because unpacking a pip into each environment takes seconds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import signal
import subprocess
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)
LOOK_AGAIN_S = 1.0
INTERRUPTED = 130  # the status that shells give for SIGINT
# Lock files are complete, so nothing is resolved again. Modules are compiled when they are first imported.
OPTIONS = ("--no-deps", "--require-hashes", "--no-compile", "--disable-pip-version-check")
READY = re.compile(r"^(?:Collecting|Processing|Requirement already satisfied:) ", re.MULTILINE)


def set_up(folder: Path, lock_file: Path) -> int:
    """Make `folder` a virtual environment of this Python, and install the packages that the lock file pins.

    Packages already installed in these versions stay. Progress is printed once a second if there is any;
    pip's output only if pip fails.

    Returns pip's exit status.
    """
    print(f"Setting up {folder} from {lock_file} (once)", flush=True)
    has_pip = importlib.util.find_spec("pip") is not None
    without_pip = ["--without-pip"] if has_pip else []
    subprocess.run([sys.executable, "-m", "venv", *without_pip, str(folder)], check=True)
    inner = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", inner] if has_pip else [inner, "-m", "pip"]
    log = folder / "pip.log"
    with log.open("wb") as output:
        command = [*pip, "install", *OPTIONS, "-r", str(lock_file)]
        with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as installing:
            try:
                _show_progress(installing, folder, log)
            finally:
                installing.terminate()  # pip still runs if a signal was sent to this process only
    if installing.returncode:
        last_lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        print(*last_lines, f"pip's full output: {log}", sep="\n", file=sys.stderr)
    return installing.returncode


def _show_progress(installing: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    """Print progress as whole lines, because `make` sets up several environments at a time."""
    installed_before = _count_installed(folder)
    shown = (0, 0)
    has_ended = False
    while not has_ended:
        with contextlib.suppress(subprocess.TimeoutExpired):
            installing.wait(LOOK_AGAIN_S)
            has_ended = True
        ready = len(READY.findall(log.read_text(encoding="utf-8", errors="replace")))
        now = ready, _count_installed(folder) - installed_before
        if now != shown:
            print(f"  {folder}: {now[0]} packages ready, {now[1]} installed", flush=True)
            shown = now


def _count_installed(folder: Path) -> int:
    return sum(1 for _ in folder.glob("lib/python3*/site-packages/*.dist-info/RECORD"))


def main(folder: str, lock_file: str) -> int:
    """Set up the environment. Returns the exit status: 0 if everything is installed."""
    if sys.version_info < OLDEST_PYTHON:
        here, oldest = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST_PYTHON))
        remedy = f"make PYTHON=/path/to/python{oldest} …"
        print(f"python3 is Python {here}; Delta Relay needs {oldest} or newer ({remedy})", file=sys.stderr)
        return 1
    # A shell without job control starts background jobs with SIGINT ignored, and `make` passes SIGTERM on.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return set_up(Path(folder), Path(lock_file))
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
