"""Coverage-guided fuzzing by atheris: `python -m tests.fuzz.fuzz_run TARGET --runs N [--seed S]`.

TARGET is one of fuzz_targets.TARGETS, or `all`, which divides N among them. The exit status is 0 if all
promises held; 1 if one was broken, and the input is in the file that is named; 2 if atheris is not installed.
`--replay FILE` runs the target on one input, without atheris.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn

from tests.support.project import PROJECT

if TYPE_CHECKING:
    from tests.fuzz.fuzz_targets import Target

SOURCES = (PROJECT / "shared", PROJECT / "functions" / "stream_chat")

# Percentages of all runs. The targets that need no thread of their own are the fastest, with the most states.
SHARES: Mapping[str, int] = {
    "events": 20, "requests": 30, "relay": 5, "sse": 10, "decoders": 15, "documents": 10, "tokens": 10,
}  # fmt: skip

NO_ATHERIS = "atheris is not installed: it has wheels for Linux on x86-64 only"
SLOWEST_INPUT_S = 30
BYTES_SHARE = 0.25  # the share of mutations by libFuzzer, of bytes; all others change the structure


def main() -> int:
    """Run what the command line says; return the exit status."""
    arguments = _arguments()
    sys.path[:0] = map(str, SOURCES)
    if arguments.replay:
        from tests.fuzz.fuzz_targets import TARGETS

        print(TARGETS[arguments.target].run(arguments.replay.read_bytes()).kind)
        return 0
    if importlib.util.find_spec("atheris") is None:
        print(NO_ATHERIS)
        return 2
    if arguments.target == "all":
        return _run_all(arguments)
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets must have the same order in each run
        program = [sys.executable, "-m", "tests.fuzz.fuzz_run", *sys.argv[1:]]
        os.execve(sys.executable, program, {**os.environ, "PYTHONHASHSEED": "0"})
    return FuzzRun(arguments.target, arguments.runs, arguments.seed, arguments.found).go(arguments.corpus)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=[*SHARES, "all"])
    parser.add_argument("--runs", type=int, default=10_000, help="total number of inputs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parallel targets, with `all`")
    parser.add_argument(
        "--corpus", type=Path, help="a folder of inputs to begin with, to which new ones are added"
    )
    parser.add_argument(
        "--found",
        type=Path,
        default=PROJECT / ".local" / "fuzz",
        help="the folder for inputs that break a promise",
    )
    parser.add_argument("--replay", type=Path, help="a file with one input")
    return parser.parse_args()


def _run_all(arguments: argparse.Namespace) -> int:
    def run(target: str) -> int:
        runs = arguments.runs * SHARES[target] // 100
        command = [sys.executable, "-m", "tests.fuzz.fuzz_run", target, "--runs", str(runs)]
        command += ["--seed", str(arguments.seed), "--found", str(arguments.found)]
        return subprocess.run(command, check=False).returncode

    with ThreadPoolExecutor(arguments.jobs) as pool:
        statuses = list(pool.map(run, SHARES))
    return max(map(abs, statuses))


class FuzzRun:
    """One run of one target."""

    def __init__(self, target: str, runs: int, seed: int, found: Path) -> None:
        atheris: Any = importlib.import_module("atheris")  # not installed wherever types are checked
        self._atheris = atheris
        logging.getLogger().addHandler(logging.NullHandler())  # logs are checked, not shown
        modules = sorted(
            {path.relative_to(SOURCES[1]).parts[0].removesuffix(".py") for path in SOURCES[1].rglob("*.py")}
        )
        with atheris.instrument_imports(
            include=[*modules, "chat_stream", "settings_reading.wildcards"],
            exclude=["chat_stream.transcripts.schema"],
        ):
            from tests.fuzz.fuzz_targets import TARGETS
        from tests.fuzz import fuzz_inputs
        from tests.fuzz.fuzz_timing import Timings

        self._name = target
        self._target: Target = TARGETS[target]
        self._inputs = fuzz_inputs
        self._timings = Timings(self._target.fixed_bytes)
        self._left = runs
        self._runs = runs
        self._seed = seed
        self._found = found
        self._started_at = time.monotonic()
        self._folder = tempfile.TemporaryDirectory()

    def go(self, corpus: Path | None) -> NoReturn:
        """Run to the end. libFuzzer then ends the process."""
        folder = Path(self._folder.name)
        seeds, words = folder / "seeds", folder / "words"
        seeds.mkdir()
        for number, data in enumerate(self._inputs.seeds(self._name, self._target.max_bytes)):
            (seeds / f"{number:05}").write_bytes(data)
        words.write_text(self._inputs.dictionary())
        self._found.mkdir(parents=True, exist_ok=True)
        options = {
            "seed": self._seed,
            "max_len": self._target.max_bytes,
            "len_control": 0,
            "reload": 0,  # reloading depends on the clock, so a seed would not repeat a run
            "dict": words,
            "timeout": SLOWEST_INPUT_S,
            "artifact_prefix": f"{self._found}/{self._name}-",
            "verbosity": 0,
        }
        folders = [*([str(corpus)] if corpus else []), str(seeds)]
        arguments = [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), *folders]
        self._atheris.Setup(arguments, self._try, custom_mutator=self._mutated)
        self._atheris.Fuzz()
        raise AssertionError("libFuzzer returned")

    def _try(self, data: bytes) -> None:
        try:
            self._timings.run(self._target.run, data)
        except BaseException:  # noqa: BLE001 - no exception may leave the function
            traceback.print_exc()
            self._end(f"a promise is broken by {self._kept(data)}")
        self._left -= 1
        if self._left == 0:
            self._finish()

    def _mutated(self, data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        changed = None
        if random.random() >= BYTES_SHARE:
            changed = self._inputs.mutated(self._name, data, max_size, random)
        return self._atheris.Mutate(data, max_size) if changed is None else changed

    def _finish(self) -> NoReturn:
        from tests.fuzz.fuzz_timing import LIMIT

        slowest = self._timings.slowest(self._target.run)
        counts = self._timings.counts
        took_s = time.monotonic() - self._started_at
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
        print(
            f"{self._name}: {self._runs} inputs in {took_s:.0f} s (seed {self._seed}); {kinds};"
            f" median {self._timings.median_ns_per_byte:.0f} ns/byte, slowest {slowest.ratio:.1f} times that"
            f" ({slowest.kind}, {len(slowest.data)} bytes)"
        )
        if missing := self._target.kinds - counts.keys():
            self._end(f"never seen: {', '.join(sorted(missing))}")
        if slowest.ratio > LIMIT:
            self._end(
                f"{self._kept(slowest.data)} ({slowest.kind}) takes {slowest.ratio:.1f} times the median"
            )
        self._end(None)

    def _kept(self, data: bytes) -> str:
        """Write an input to a file and return its path."""
        path = self._found / f"{self._name}-{sha256(data).hexdigest()[:16]}"
        path.write_bytes(data)
        with contextlib.suppress(ValueError):
            path = path.relative_to(Path.cwd())
        return str(path)

    def _end(self, failure: str | None) -> NoReturn:
        if failure:
            print(f"{self._name}: {failure}", flush=True)
        sys.stdout.flush()
        sys.stderr.flush()
        self._folder.cleanup()
        os._exit(1 if failure else 0)  # libFuzzer reports sys.exit as a crash


if __name__ == "__main__":
    sys.exit(main())
