"""The browser modules have types that match their code and that a TypeScript frontend can rely on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from public.files import FOLDER
from tests.support.clients.node_programs import CLIENTS, run_node

TSC = "node_modules/typescript/bin/tsc"
DECLARATIONS = ("stream.d.ts", "stream-hooks.d.ts")


def test_the_modules_and_a_frontend_that_uses_them_pass_the_type_checker() -> None:
    assert run_node(TSC, "--project", "tsconfig.json") == ""


def test_the_declarations_match_the_modules(tmp_path: Path) -> None:
    run_node(TSC, "--project", "tsconfig.declarations.json", "--outDir", str(tmp_path))
    for name in DECLARATIONS:
        generated = (tmp_path / name).read_text(encoding="utf-8")
        assert (FOLDER / name).read_text(encoding="utf-8") == generated, f"copy it from {tmp_path / name}"


# The module resolution of a Vite app, and that of a package for Node.
RESOLUTIONS = {
    "bundler": {"module": "esnext", "moduleResolution": "bundler"},
    "nodenext": {"module": "nodenext", "moduleResolution": "nodenext"},
}
REACT_TYPES = {"18": "types-react-18", "19": "@types/react"}


@pytest.mark.parametrize(("resolution", "react"), [("bundler", "19"), ("nodenext", "18")])
def test_a_strict_app_without_allow_js_imports_copies_of_the_modules(
    tmp_path: Path, resolution: str, react: str
) -> None:
    """The app's own code is `typed_frontend.tsx`; no check is skipped."""
    for name in ("stream.js", "stream-hooks.js", *DECLARATIONS):
        shutil.copy(FOLDER / name, tmp_path)
    source = (CLIENTS / "typed_frontend.tsx").read_text(encoding="utf-8").replace("delta-relay/", "./")
    (tmp_path / "app.tsx").write_text(source, encoding="utf-8")
    types = CLIENTS / "node_modules" / REACT_TYPES[react]
    options = {
        "strict": True,
        "exactOptionalPropertyTypes": True,
        "noUncheckedIndexedAccess": True,
        "verbatimModuleSyntax": True,
        "noEmit": True,
        "target": "es2022",
        "jsx": "react-jsx",
        "lib": ["es2022", "dom", "dom.iterable"],
        "types": [],
        "paths": {"react": [str(types)], "react/jsx-runtime": [str(types / "jsx-runtime")]},
        **RESOLUTIONS[resolution],
    }
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["app.tsx"]}))
    # The types of React need those of its own dependencies.
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    assert run_node(TSC, "--project", str(tmp_path)) == ""
