"""Settings and fixtures of all tests."""

from __future__ import annotations

import os

import dask
import pytest
from hypothesis import settings

from s3_servers import MotoServer, SeaweedServer

# How long an example takes depends on what else the machine does; a test's time-out ends one that hangs.
settings.register_profile("bemsweep", deadline=None)
settings.load_profile("bemsweep")

# With gilknocker, which coiled brings, each Dask process looks every millisecond who holds the GIL, and warns when it
# cannot tell on a busy machine. The first is for this process, the second for those that tests start.
dask.config.set({"distributed.admin.system-monitor.gil.enabled": False})
os.environ["DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__GIL__ENABLED"] = "False"


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """A real S3 server of the whole test session, SeaweedFS, with signatures checked."""
    server = SeaweedServer(tmp_path_factory.mktemp("seaweed"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def other_s3(tmp_path_factory):
    """An S3 server of another make, moto's."""
    server = MotoServer(tmp_path_factory.mktemp("moto"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def own_s3(tmp_path):
    """A server of this test alone, which it may stop and start."""
    server = SeaweedServer(tmp_path / "seaweed")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def s3_env(s3, monkeypatch):
    """Say in the environment how to reach the server, as users do."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3
