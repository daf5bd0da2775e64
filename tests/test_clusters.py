"""Clusters opened by file: separate processes, a scheduler over TLS, a real Slurm, Coiled's library without an account.

The study that runs on three of them, and a scheduler that goes away, use the real engine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import dask
import pytest
from distributed import get_client

import bemsweep as bs
from bemsweep.cluster_file import Coiled, Local, Slurm
from bemsweep.clusters import first_worker, open_configured
from bemsweep.errors import BemsweepError, ClusterFileError, InfrastructureError
from bemsweep.store import Store
from bemsweep.testing import FakeEngine, coiled_stand_in
from dask_processes import TlsCluster
from slurm.one_node import NoSlurmError, OneNode, why_not
from small_studies import assert_same_cubes, grid_of, read, run_study, small_study

SLURM = "cluster: slurm\njobs: {jobs}\ncores: 1\nmemory: 1 GiB\nwalltime: 00:10:00\ninterface: lo\nscratch: {scratch}\n"
DAYS = """\
name: days
baseline: bundled:ref/small_office
weather: {chicago: bundled:usa_il_chicago}
run: design_day
reference: false
parameters:
  lighting: {object: Lights, field: watts_per_floor_area, values: [VALUES]}
outputs: [{meter: "Electricity:Facility", frequency: hourly, as: electricity}]
"""


def wait_until(is_so, seconds=60.0):
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "waited for too long"
        time.sleep(0.02)


@pytest.fixture
def tls(tmp_path, request):
    """A scheduler and two worker processes, or as many as the test says, over TLS."""
    folder = tmp_path / "dask"
    folder.mkdir()
    cluster = TlsCluster(folder, workers=getattr(request, "param", 2))
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A real Slurm of one node."""
    if why := why_not():
        pytest.skip(why)
    made = OneNode(tmp_path_factory.mktemp("slurm") / "node")
    try:
        yield made.start()
    except NoSlurmError as error:
        pytest.skip(str(error))
    finally:
        made.stop()


@pytest.fixture
def slurm(node, tmp_path, monkeypatch):
    """That Slurm, as users meet it: by the commands on PATH; jobs write to a folder of the test's own."""
    for name, value in node.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}):
        yield node
    node.wait_for_end()


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# This machine


def test_a_local_cluster_is_opened_and_becomes_the_current_one(tmp_path):
    with bs.open_cluster(written(tmp_path / "c.yaml", "cluster: local\nthreads: 3\n")) as client:
        assert list(client.nthreads().values()) == [3]
        assert get_client() is client
        run = run_study(small_study(), tmp_path / "store", FakeEngine())
    assert client.status == "closed"
    assert set(run.status()["status"]) == {"succeeded"}


def test_separate_processes_run_a_study(tmp_path):
    engine = FakeEngine(counter=tmp_path / "starts", faults={3: "infrastructure"})
    with open_configured(Local(processes=2, threads=2)) as client:
        assert sorted(client.nthreads().values()) == [1, 1]
        run_study(small_study(), tmp_path / "store", engine, client=client)
    run_study(small_study(), tmp_path / "local", FakeEngine())
    assert_same_cubes(read(tmp_path / "store"), read(tmp_path / "local"))


# A scheduler over TLS


@pytest.mark.engine
def test_a_scheduler_that_goes_away_ends_the_run_with_status_3_and_the_next_carries_on(tls, tmp_path):
    study = written(tmp_path / "study.yaml", DAYS.replace("VALUES", ", ".join(str(n) for n in range(1, 11))))
    command = [sys.executable, "-m", "bemsweep", "run", study, "--store", tmp_path / "store", "--cluster", tls.file]
    first = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    store = Store(tmp_path / "store")
    wait_until(lambda: sum(1 for _ in store.objects("records")) >= 3 or first.poll() is not None)
    tls.kill_scheduler()
    told = first.communicate(timeout=60)[0]
    assert first.returncode == 3, told
    assert "lost the Dask scheduler" in told
    kept = sum(1 for _ in store.objects("records"))
    assert 3 <= kept < 10
    tls.start()
    with bs.open_cluster(tls.file):
        run = bs.run(bs.plan(bs.Study.from_yaml(study), store=store))
    assert set(run.status()["status"]) == {"succeeded"}
    assert (run.progress.done, run.progress.cached) == (10 - kept, kept)


@pytest.mark.parametrize("tls", [0], indirect=True)
def test_who_has_other_certificates_is_not_let_in(tls, tmp_path):
    (tmp_path / "other").mkdir()
    other = TlsCluster(tmp_path / "other", workers=0)
    text = other.file.read_text().replace(other.address, tls.address)
    told = f"no Dask scheduler answers at {tls.address}"
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        pytest.raises(InfrastructureError, match=told),
        bs.open_cluster(written(other.file, text)),
    ):
        pass


def test_missing_certificates_are_told(tmp_path):
    text = "cluster: scheduler\naddress: tls://127.0.0.1:1\ntls: {ca: a.pem, cert: b.pem, key: c.pem}\n"
    with (
        pytest.raises(BemsweepError, match=r"no file .*a.pem, .*b.pem, .*c.pem"),
        bs.open_cluster(written(tmp_path / "c.yaml", text)),
    ):
        pass


# Slurm


def test_a_cancelled_job_is_replaced_and_the_study_ends_as_if_nothing_had_been(slurm, tmp_path):
    study = small_study(parameters=grid_of(6, 5))
    file = written(tmp_path / "slurm.yaml", SLURM.format(jobs=2, scratch=tmp_path / "scratch"))
    engine = FakeEngine(longest_s=0.4, counter=tmp_path / "starts")
    plan = bs.plan(study, store=tmp_path / "store", engine=engine)
    with bs.open_cluster(file, plan=plan) as client:
        assert client.scheduler_info()["address"].startswith("tls://")
        wait_until(lambda: len(client.nthreads()) == 2)
        started = bs.run(plan, client=client, wait=False)
        wait_until(lambda: started.progress.done >= 5)
        before = set(slurm.jobs())
        slurm.ask("scancel", min(before))
        wait_until(lambda: len(set(slurm.jobs()) - before) == 1)
        started.wait(60)
    assert set(started.status()["status"]) == {"succeeded"}
    assert not list((tmp_path / "home" / ".cache" / "bemsweep-tls").iterdir())
    run_study(study, tmp_path / "local", FakeEngine())
    assert_same_cubes(read(tmp_path / "store"), read(tmp_path / "local"))


def test_jobs_that_slurm_refuses_are_told_at_once(slurm, tmp_path):
    text = SLURM.format(jobs=1, scratch=tmp_path) + "partition: none\n"
    with (
        pytest.raises(BemsweepError, match=r"Slurm refuses the jobs: .*nvalid partition"),
        bs.open_cluster(written(tmp_path / "slurm.yaml", text)),
    ):
        pass


def test_without_slurm_the_message_says_where_to_start(monkeypatch, tmp_path):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    config = Slurm(jobs={"min": 1, "max": 1}, cores=1, memory="1 GiB", walltime="10")
    with pytest.raises(BemsweepError, match="no sbatch here"), open_configured(config):
        pass


def test_a_strangers_file_runs_no_line_of_shell(slurm, tmp_path):
    text = SLURM.format(jobs=1, scratch=tmp_path) + f"setup: [mkdir {tmp_path}/ran]\n"
    file = written(tmp_path / "slurm.yaml", text)
    with pytest.raises(ClusterFileError, match="setup runs code"), bs.open_cluster(file):
        pass
    assert not (tmp_path / "ran").exists()
    with bs.open_cluster(file, allow_python=True):
        wait_until((tmp_path / "ran").exists)


# Coiled


@pytest.fixture
def coiled():
    """What was called of Coiled's library, which has a cluster of this process in place of its own."""
    pytest.importorskip("coiled")
    with coiled_stand_in() as calls:
        yield calls


SMALL = {"workers": {"min": 4, "max": 4}, "vm_types": ["c7a.large"]}


def test_coiled_is_asked_closed_and_given_variables_past_its_servers(coiled, monkeypatch, tmp_path):
    monkeypatch.setenv("MY_TOKEN", "hunter2hunter2")
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())
    with open_configured(Coiled(**SMALL, send_env=["MY_TOKEN"]), plan=plan) as client:
        run = bs.run(plan, client=client)
        assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.allowed_failures) == 10
    assert set(run.status()["status"]) == {"succeeded"}
    (_, arguments), *others = coiled
    assert arguments["tags"]["bemsweep-study"] == "small"
    assert arguments["tags"]["bemsweep-run"].endswith("Z")
    assert "region" not in arguments
    assert "hunter2" not in repr(arguments)
    assert others[0] == ("send_private_envs", {"MY_TOKEN": "hunter2hunter2"})
    assert ("close", {}) in others


def test_machines_start_in_the_region_of_the_bucket(coiled, tmp_path, monkeypatch):
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())
    monkeypatch.setattr(Store, "region", lambda self: "eu-west-1")
    with open_configured(Coiled(**SMALL), plan=plan):
        pass
    with open_configured(Coiled(**SMALL, region="us-east-2"), plan=plan):
        pass
    assert [call[1]["region"] for call in coiled if call[0] == "Cluster"] == ["eu-west-1", "us-east-2"]


def test_what_stands_against_coiled_is_told_before_it_is_called(coiled, monkeypatch):
    monkeypatch.delenv("MY_TOKEN", raising=False)
    with (
        pytest.raises(BemsweepError, match="MY_TOKEN, which the environment here does not have"),
        open_configured(Coiled(**SMALL, send_env=["MY_TOKEN"])),
    ):
        pass
    with (
        dask.config.set({"coiled.token": None}),
        pytest.raises(BemsweepError, match="`coiled login`"),
        open_configured(Coiled(**SMALL)),
    ):
        pass
    assert not coiled


def test_what_coiled_cannot_start_is_the_machines_fault(coiled, monkeypatch):
    import coiled as library

    def refuse(**_):
        raise library.errors.ClusterCreationError("no capacity")

    monkeypatch.setattr(library, "Cluster", refuse)
    with (
        pytest.raises(InfrastructureError, match="Coiled has started no cluster: no capacity"),
        open_configured(Coiled(**SMALL)),
    ):
        pass


@pytest.mark.parametrize(
    ("config", "module", "extra"),
    [
        (Coiled(**SMALL), "coiled", "coiled"),
        (Slurm(jobs={"min": 1, "max": 1}, cores=1, memory="1 GiB", walltime="10"), "dask_jobqueue", "slurm"),
    ],
)
def test_a_missing_package_is_told_with_the_command_that_brings_it(monkeypatch, config, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BemsweepError, match=rf"pip install 'bemsweep\[{extra}\]'"), open_configured(config):
        pass


@pytest.mark.coiled
def test_a_machine_of_your_own_account_runs_a_study(tmp_path):
    """What only an account can prove: ``BEMSWEEP_STORE=s3://… pytest -m coiled``; some minutes of one machine."""
    store = Store()
    assert not store.is_local, "set BEMSWEEP_STORE to a bucket that the machine reaches"
    text = DAYS.replace("VALUES", "8, 6").replace("name: days", f"name: coiled-{time.time_ns()}")
    plan = bs.plan(bs.Study.from_yaml(written(tmp_path / "study.yaml", text)), store=store)
    file = written(tmp_path / "c.yaml", "cluster: coiled\nworkers: 1\nvm_types: [c7a.large]\nspot: with_fallback\n")
    with bs.open_cluster(file, plan=plan) as client:
        found = first_worker(client, within_s=600)
        assert (found["versions"]["bemsweep"], found["engine"]) == (bs.__version__, plan.engine_version)
        run = bs.run(plan, client=client)
    assert set(run.status()["status"]) == {"succeeded"}


# One study on three clusters


@pytest.mark.engine
@pytest.mark.parametrize("tls", [1], indirect=True)
def test_three_clusters_give_one_cube_and_share_what_is_stored(tls, tmp_path, request):
    third = "cluster: local\nprocesses: 1\nthreads: 1\n"
    if not why_not():
        request.getfixturevalue("slurm")
        third = SLURM.format(jobs=1, scratch=tmp_path / "scratch")
    files = {
        "local": written(tmp_path / "local.yaml", "cluster: local\n"),
        "scheduler": tls.file,
        "third": written(tmp_path / "third.yaml", third),
    }
    text, cubes, shared = DAYS.replace("VALUES", "8, 6"), {}, {}
    for name, file in files.items():
        with bs.open_cluster(file) as client:
            for store, found in ((tmp_path / name, cubes), (tmp_path / "local", shared)):
                study = bs.Study.from_yaml(
                    written(tmp_path / "study.yaml", text.replace("name: days", f"name: {name}"))
                )
                run = bs.run(bs.plan(study, store=store), client=client)
                assert (run.progress.done, run.progress.cached) == ((2, 0) if found is cubes else (0, 2))
                found[name] = read(store, name, "hourly")
    for found in (*cubes.values(), *shared.values()):
        found.attrs = {}  # the title has the study's name
        assert found.electricity.notnull().all()
        assert_same_cubes(found, cubes["local"])
