"""The arguments by which clusters are asked for, held against the real libraries."""

from __future__ import annotations

import asyncio
import inspect
from importlib.metadata import version
from pathlib import Path

import pytest

from bemsweep.cluster_file import Coiled, Slurm, read_cluster
from bemsweep.cluster_settings import coiled_arguments, run_tags, slurm_arguments

CONFIGS = Path(__file__).parent.parent / "cluster-configs"
SMALL = {"workers": {"min": 4, "max": 4}, "vm_types": ["c7a.large"]}
JOBS = {"jobs": {"min": 1, "max": 1}, "cores": 8, "memory": "8 GiB", "walltime": "02:00:00"}


@pytest.mark.parametrize("name", ["coiled-small.yaml", "coiled-spot.yaml"])
def test_coiled_knows_every_argument(name):
    coiled = pytest.importorskip("coiled")
    made = coiled_arguments(read_cluster(CONFIGS / name), region="eu-west-1", tags=run_tags("office", "now"))
    bound = inspect.signature(coiled.Cluster.__init__).bind(None, **made)
    assert "kwargs" not in bound.arguments


def test_what_coiled_is_asked_for():
    made = coiled_arguments(Coiled(**SMALL, spot=False), tags={"bemsweep-study": "office"})
    assert made == {
        "n_workers": 4,
        "worker_vm_types": ["c7a.large"],
        "worker_options": {"nthreads": 2},
        "spot_policy": "on-demand",
        "allow_cross_zone": True,
        "arm": False,
        "idle_timeout": "1 hour",
        "no_client_timeout": "30 minutes",
        "shutdown_on_close": True,
        "wait_for_workers": 1,
        "show_widget": False,
        "tags": {"bemsweep-study": "office"},
    }


def test_what_a_file_says_wins_over_what_the_run_tells():
    config = Coiled(
        **{**SMALL, "workers": {"min": 0, "max": 9}},
        threads=7,
        region="us-east-2",
        spot=True,
        tags={"bemsweep-study": "mine", "project": "x"},
        workspace="lab",
        cluster_timeout="12 hours",
    )
    made = coiled_arguments(config, region="eu-west-1", tags=run_tags("office", "now"))
    assert made["tags"] == {"bemsweep-study": "mine", "bemsweep-run": "now", "project": "x"}
    assert (made["n_workers"], made["wait_for_workers"]) == ([0, 9], 0)
    assert (made["region"], made["workspace"], made["cluster_timeout"]) == ("us-east-2", "lab", "12 hours")
    assert (made["worker_options"], made["spot_policy"]) == ({"nthreads": 7}, "spot")


def test_no_value_of_a_variable_is_among_the_arguments(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hunter2hunter2")
    made = coiled_arguments(Coiled(**SMALL, send_env=["MY_TOKEN"]))
    assert "environ" not in made
    assert "hunter2" not in repr(made)


def test_machines_get_the_engine_by_its_version(tmp_path, monkeypatch):
    """What Coiled's own scan of this environment finds, which it installs on the machines; works without an account."""
    scan = pytest.importorskip("coiled.scan")
    monkeypatch.chdir(tmp_path)
    found = {package["name"].replace("_", "-"): package for package in asyncio.run(scan.scan_prefix())}
    engine = found["pyenergyplus-lbnl"]
    assert (engine["source"], engine["version"]) == ("pip", version("pyenergyplus-lbnl"))
    assert not engine["wheel_target"]  # else it would be built here and uploaded
    assert "bemsweep" in found


def test_a_job_is_one_worker_that_nobody_starts_again():
    made = slurm_arguments(Slurm(**JOBS, partition="short", account="p-1", interface="ib0"), study="a b")
    assert made == {
        "cores": 8,
        "processes": 1,
        "memory": 8 * 2**30,
        "walltime": "02:00:00",
        "job_name": "bemsweep-a_b",
        "job_script_prologue": [],
        "nanny": False,
        "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
        "queue": "short",
        "account": "p-1",
        "interface": "ib0",
    }


def test_scratch_is_where_engines_and_dask_work():
    made = slurm_arguments(Slurm(**JOBS, scratch="$TMPDIR/x", setup=["module load gcc"]))
    assert made["local_directory"] == "$TMPDIR/x"
    assert made["job_script_prologue"] == [
        "module load gcc",
        "export BEMSWEEP_SCRATCH=$TMPDIR/x",
        "mkdir -p $BEMSWEEP_SCRATCH",
    ]
    assert made["job_name"] == "bemsweep"
