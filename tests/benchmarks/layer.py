"""A virtual environment with the packages of the layer and no others, as a deployed function has them.

The environment of the tests would slow a cold start down: httpx imports its command-line interface if click
is installed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local.virtual_environment import set_up
from tests.support.project import PROJECT

FOLDER = PROJECT / ".venv-layer"


def layer_python() -> str:
    """The Python of the environment, made if needed, with hashed certificates as `sam build` stores them."""
    assert set_up(FOLDER, PROJECT / "shared" / "requirements.txt") == 0
    python = str(FOLDER / "bin" / "python")
    output = subprocess.check_output([python, "-c", "import certifi; print(certifi.where())"], text=True)
    bundle = Path(output.strip())
    hashed = bundle.parent / "hashed"
    if not hashed.exists():
        sys.path.append(str(PROJECT / "artefacts"))
        from hashed_certificates import write_hashed_certificates

        hashed.mkdir()
        write_hashed_certificates(bundle.read_text(encoding="utf-8"), hashed)
    return python
