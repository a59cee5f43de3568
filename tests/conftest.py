"""Settings that hold for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# On two busy cores, the duration of an example says nothing about the code.
settings.register_profile("delta-relay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For runs under other versions of Python. The main run looks for the rare inputs.
settings.register_profile("few-examples", settings.get_profile("delta-relay"), max_examples=10)
settings.load_profile("delta-relay")
