"""``bemsweep cluster check`` and ``bemsweep run --cluster``: what they print, and with which status they end."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bemsweep as bs
from bemsweep import clusters
from bemsweep.cli import app
from bemsweep.cluster_file import read_cluster
from bemsweep.clusters import submission
from bemsweep.errors import ClusterError, ClusterFileError
from bemsweep.preflight import look

CONFIGS = Path(__file__).parent.parent / "cluster-configs"
STUDY = """\
name: days
baseline: bundled:ref/small_office
weather: {chicago: bundled:usa_il_chicago}
run: design_day
reference: false
parameters: {lighting: {object: Lights, field: watts_per_floor_area, values: [8]}}
outputs: [{meter: "Electricity:Facility", frequency: annual, as: electricity}]
"""


def call(*words):
    """Return status, what was printed and what was told as an error."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def no_slurm(monkeypatch, tmp_path):
    """A machine without Slurm's commands."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("local-threads.yaml", "this machine, threads of one process: 2 engines at once"),
        ("scheduler.yaml", "the Dask scheduler at tls://127.0.0.1:8786, over TLS: as many engines"),
        ("coiled-small.yaml", "4 virtual machines c7a.large in the region of the store's bucket, on demand: 8 engines"),
        ("coiled-spot.yaml", "2 to 100 virtual machines c7a.xlarge or c6a.xlarge or m7a.xlarge"),
        ("slurm.yaml", "1 to 20 jobs of Slurm, 16 cores each for 04:00:00: 16 to 320 engines at once"),
    ],
)
def test_check_says_what_a_file_means_and_starts_nothing(no_slurm, name, words):
    status, text, _ = call("cluster", "check", CONFIGS / name)
    assert status == 0
    assert words in text
    assert json.loads(call("cluster", "check", CONFIGS / name, "--json")[1])["means"] == text.strip()


def test_a_bad_file_is_told_with_all_its_problems(tmp_path):
    (tmp_path / "x.yaml").write_text("cluster: local\ntreads: 3\nprocess: 2\n")
    with pytest.raises(ClusterFileError, match=r"2 problems.*\n.*line 2\n.*line 3"):
        call("cluster", "check", tmp_path / "x.yaml")


def test_a_dry_run_prints_the_call_of_coiled():
    text = call("cluster", "check", CONFIGS / "coiled-small.yaml", "--dry-run")[1]
    printed = eval(text[text.index("coiled.Cluster(") :].replace("coiled.Cluster", "dict"))
    assert printed == submission(read_cluster(CONFIGS / "coiled-small.yaml"))


def test_a_dry_run_prints_the_script_of_a_job_without_slurm(no_slurm, tmp_path):
    pytest.importorskip("dask_jobqueue")
    text = (CONFIGS / "slurm.yaml").read_text().replace("# setup", "setup").replace("# scratch", "scratch")
    (tmp_path / "slurm.yaml").write_text(text)
    script = call("cluster", "check", tmp_path / "slurm.yaml", "--dry-run", "--allow-python")[1]
    for line in (
        "#SBATCH --cpus-per-task=16",
        "#SBATCH --mem=16G",
        "#SBATCH -t 04:00:00",
        "\nmodule load gcc\nexport BEMSWEEP_SCRATCH=$TMPDIR\n",
        " --nthreads 16 ",
        " --no-nanny ",
        " --local-directory $TMPDIR ",
        " --tls-key <key>",
    ):
        assert line in script


@pytest.mark.engine
def test_start_looks_at_one_worker():
    status, text, error = call("cluster", "check", CONFIGS / "local-threads.yaml", "--start")
    assert status == 0
    assert f"bemsweep  {bs.__version__}" in text
    assert "engine    EnergyPlus, Version 25.2.0" in text
    assert "threads   2" in text
    assert re.search(r"^memory    [\d.]+ GB$", text, re.MULTILINE)
    assert "dashboard: http://127.0.0.1:" in error


def test_start_refuses_a_worker_with_another_bemsweep(monkeypatch):
    monkeypatch.setattr(clusters, "look", lambda: {**look(), "versions": {"bemsweep": "0.0.1", "Python": "3.9"}})
    with pytest.raises(ClusterError, match=r"no worker can run the study: .* bemsweep 0\.0\.1 instead of"):
        call("cluster", "check", CONFIGS / "local-threads.yaml", "--start")


@pytest.mark.engine
def test_start_refuses_a_worker_with_another_engine(monkeypatch):
    monkeypatch.setattr(
        clusters,
        "_engine_version",
        lambda: f"EnergyPlus, Version {'25.2.0' if threading.current_thread() is threading.main_thread() else '9.6.0'}",
    )
    with pytest.raises(ClusterError, match=r"has EnergyPlus, Version 9\.6\.0 instead of EnergyPlus, Version 25\.2\.0"):
        call("cluster", "check", CONFIGS / "local-threads.yaml", "--start")


@pytest.mark.engine
def test_start_tells_of_too_little_memory(monkeypatch):
    monkeypatch.setattr(clusters, "look", lambda: {**look(), "memory_bytes": 500_000_000})
    status, text, error = call("cluster", "check", CONFIGS / "local-threads.yaml", "--start")
    assert (status, "memory    500.0 MB" in text) == (0, True)
    assert "has 500.0 MB and runs 2 engines at once" in error


@pytest.mark.engine
def test_run_opens_the_cluster_and_says_where_its_dashboard_is(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    words = ("run", tmp_path / "study.yaml", "--store", tmp_path / "store", "--cluster", CONFIGS / "local-threads.yaml")
    status, text, error = call(*words)
    assert status == 0
    assert "1 succeeded; 1 run now" in text
    assert "dashboard: http://127.0.0.1:" in error
    status, text, error = call(*words)
    assert "1 succeeded; 0 run now" in text
    assert "dashboard" not in error  # no machine is started for nothing


def test_a_bad_cluster_file_stops_a_run_before_anything_is_looked_at(tmp_path):
    (tmp_path / "x.yaml").write_text("cluster: locla\n")
    with pytest.raises(ClusterFileError, match="did you mean 'local'"):
        call("run", tmp_path / "none.yaml", "--store", tmp_path / "store", "--cluster", tmp_path / "x.yaml")
    assert not (tmp_path / "store").exists()
