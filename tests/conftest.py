"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes depends on what else the machine does; a test's time-out ends one that hangs.
settings.register_profile("bemsweep", deadline=None)
settings.load_profile("bemsweep")
