"""Settings that hold for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Two busy cores: how long an example takes says nothing about the code.
settings.register_profile("delta-relay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("delta-relay")
