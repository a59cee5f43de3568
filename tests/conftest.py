"""Settings that hold for every test."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# On two busy cores, the duration of an example says nothing about the code.
settings.register_profile(
    "delta-relay", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
_USUAL = settings.get_profile("delta-relay")
# For runs under other versions of Python.
settings.register_profile("few-examples", _USUAL, max_examples=5)
# For `make fuzz`, which looks for the rare inputs.
settings.register_profile("many-examples", _USUAL, max_examples=500)
settings.load_profile("delta-relay")

# `make test` needs only python3, make and git on the PATH. Tests also run the programs of every
# system, such as a shell and ps, and a browser and Node where the system has them.
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], os.defpath])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without garbage collections, and leave what was collected out of all later ones.

    Thousands of tests and the modules that they import live until the end. Each full collection would look
    through them all, in the tests' own time and in pytest's last collections.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
