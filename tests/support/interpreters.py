"""Finds another version of Python on this machine and runs a module under it, in a separate environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def find_python(version: str) -> Path | None:
    """The interpreter `python{version}` ("3.13"): from the PATH, or else from pyenv's versions folder."""
    candidates = [shutil.which(f"python{version}")]
    pyenv_root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += [str(path) for path in sorted(pyenv_root.glob(f"versions/{version}.*/bin/python{version}"))]
    for candidate in candidates:
        # pyenv puts shims for disabled versions on the PATH as well, and they fail: the interpreter must run.
        if (
            candidate
            and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return Path(candidate)
    return None


def _environment(python: Path, version: str, requirements: Path) -> Path:
    """The Python of `.venv-{version}`, which is set up if it is missing or older than its requirements."""
    folder = Path(f".venv-{version}")
    ready, inner = folder / ".ready", folder / "bin" / "python"
    if not ready.exists() or ready.stat().st_mtime < requirements.stat().st_mtime:
        command = [str(python), "-m", "local.virtual_environment", str(folder), str(requirements)]
        subprocess.run(command, check=True)
        ready.touch()
    return inner


def main(version: str, requirements: str, *arguments: str) -> int:
    """Run `python{version} arguments…` and return its status; print so and return 0 if there is none."""
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == version:
        return 0  # the main run uses this version
    python = find_python(version)
    if python is None:
        print(f"no python{version} on this machine: skipping the tests under it")
        return 0
    inner = _environment(python, version, Path(requirements))
    return subprocess.run([inner, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
