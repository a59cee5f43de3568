"""Find another Python on this machine, and run a module with it in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def find_python(version: str) -> Path | None:
    """The interpreter `python{version}` ("3.13") on the PATH or in pyenv's versions folder, or None."""
    candidates = [shutil.which(f"python{version}")]
    pyenv_root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += [str(path) for path in sorted(pyenv_root.glob(f"versions/{version}.*/bin/python{version}"))]
    for candidate in candidates:
        # A pyenv shim may be on the PATH for a version that is not enabled: only one that runs counts.
        if (
            candidate
            and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return Path(candidate)
    return None


def _environment(python: Path, version: str, requirements: Path) -> Path:
    """The Python of `.venv-{version}`, which is made if it is missing or older than its requirements."""
    folder = Path(f".venv-{version}")
    ready, inner = folder / ".ready", folder / "bin" / "python"
    if not ready.exists() or ready.stat().st_mtime < requirements.stat().st_mtime:
        command = [str(python), "-m", "local.virtual_environment", str(folder), str(requirements)]
        subprocess.run(command, check=True)
        ready.touch()
    return inner


def main(version: str, requirements: str, *arguments: str) -> int:
    """Run `python{version} arguments…`. Without such a Python, print that and succeed."""
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == version:
        return 0  # the main run covers it
    python = find_python(version)
    if python is None:
        print(f"this machine has no python{version}: the tests are not run with it")
        return 0
    inner = _environment(python, version, Path(requirements))
    return subprocess.run([inner, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
