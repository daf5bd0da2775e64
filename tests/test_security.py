"""What docs/security.md says of Dask: nothing listens for others, and a study runs where strangers are refused."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster
from distributed.security import Security

from bemsweep.cluster import open_local_client
from bemsweep.testing import FakeEngine
from small_studies import FEW, read, run_study, small_study

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "security.md"


def listening():
    """Return address and port of all that this process listens on."""
    own = psutil.Process().net_connections(kind="tcp")
    return {(one.laddr.ip, one.laddr.port) for one in own if one.status == psutil.CONN_LISTEN}


def test_nothing_of_the_own_cluster_listens_beyond_this_machine():
    before = listening()
    with open_local_client(2) as client:
        assert client.submit(int, "1").result() == 1
        opened = listening() - before
    assert opened, "the dashboards"
    assert {ip for ip, _ in opened} == {"127.0.0.1"}


def test_a_study_runs_over_tls_and_others_are_refused(tmp_path):
    keys = Security.temporary()
    addresses = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=True,
            protocol="tls://",
            host="127.0.0.1",
            security=keys,
            **addresses,
        ) as cluster,
        Client(cluster, security=keys, set_as_default=False) as client,
    ):
        assert cluster.scheduler_address.startswith("tls://127.0.0.1")
        run_study(small_study(parameters=FEW), tmp_path, FakeEngine(), client=client)
        for stranger in (None, Security.temporary()):
            with pytest.raises((OSError, RuntimeError, TypeError)):
                Client(cluster.scheduler_address, security=stranger, timeout=2, set_as_default=False)
    assert set(read(tmp_path).status.values) == {"succeeded"}


def test_promises_name_tests_that_exist():
    named = set(re.findall(r"tests/(test_\w+\.py)::(test_\w+)", PAGE.read_text()))
    assert len(named) > 20
    missing = {
        f"{file}::{name}" for file, name in named if f"def {name}(" not in (Path(__file__).parent / file).read_text()
    }
    assert missing == set()
