from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from typer.testing import CliRunner

import bemsweep as bs
from bemsweep import __version__ as bemsweep_version
from bemsweep import cli, results
from bemsweep.cli import app
from bemsweep.input_files import InputFiles
from bemsweep.lease import lease_for
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from command_line import bemsweep, bemsweep_process
from small_studies import grid_of, small_study

STUDY = """\
name: office
baseline: bundled:ref/small_office
weather: {chicago: bundled:usa_il_chicago}
run: design_day
parameters:
  lighting: {object: Lights, field: watts_per_floor_area, values: [null, 6]}
outputs:
  - {meter: "Electricity:Facility", frequency: annual, as: electricity}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "office.yaml"
    path.write_text(STUDY)
    return path


@pytest.mark.engine
def test_plan_run_status_and_errors(tmp_path: Path, study: Path) -> None:
    store = tmp_path / "store"
    planned = bemsweep("plan", study, "--store", store)
    assert planned.returncode == 0, planned.stderr
    assert "2: 0 stored, 2 to run" in planned.stdout
    assert "not known before a few have run" in planned.stdout
    run = bemsweep_process("run", study, "--store", store)
    assert run.returncode == 0, run.stderr
    assert "2 succeeded; 2 run now" in run.stdout
    assert "open_datatree" in run.stdout
    assert re.search(r"^engine    .* of core time \(.* at once\): \d+%\noverhead  starting ", run.stdout, re.MULTILINE)
    again = bemsweep("run", study, "--store", store, "--json")
    report = json.loads(again.stdout)
    assert (report["ran"], report["statuses"]) == (0, {"succeeded": 2})
    assert report["account"]["variants"] == 0
    assert "core time" not in bemsweep("run", study, "--store", store).stdout
    for name in (study, "office"):
        status = bemsweep_process("status", name, BEMSWEEP_STORE=str(store))
        assert re.search(r"2 succeeded", status.stdout), status.stderr
    assert json.loads(bemsweep("errors", "office", "--store", store, "--json").stdout) == []
    assert "no variant has failed" in bemsweep("errors", "office", "--store", store).stdout
    counts = json.loads(bemsweep("plan", study, "--store", store, "--json").stdout)
    assert counts["to_run"] == 0
    assert counts["bytes"] > 0


def test_a_run_that_has_gathered_nothing_yet_is_not_a_study_without_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store" / "studies" / "office").mkdir(parents=True)
    monkeypatch.setattr(results, "status", lambda *_: pd.DataFrame({"status": []}))
    with lease_for(Store(tmp_path / "store"), "office"):
        told = CliRunner().invoke(app, ["status", "office", "--store", str(tmp_path / "store")])
    assert told.output.splitlines()[0] == "office: nothing is gathered yet"
    assert told.output.splitlines()[1].startswith("at work: ")


def test_a_plan_for_a_cluster_reads_its_file_and_opens_nothing(
    tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, grid = FakeEngine(), small_study(parameters=grid_of(3, 4))
    bs.run(bs.plan(grid, store=tmp_path / "store", engine=engine), limit=4)
    monkeypatch.setattr(cli, "planned", lambda *_, cluster, **__: bs.plan(
        grid, store=tmp_path / "store", engine=engine, cluster=cluster
    ))  # fmt: skip
    file = tmp_path / "cluster.yaml"
    file.write_text("cluster: slurm\njobs: 3\ncores: 8\nmemory: 8 GiB\nwalltime: 1:00\nprice_per_hour: 0.3\n")
    told = CliRunner().invoke(app, ["plan", str(study), "--cluster", str(file)])
    assert " on 3 x job of 8 cores, 24 at once, about $" in told.stdout
    told = CliRunner().invoke(app, ["plan", str(study), "--cluster", str(file), "--json"])
    assert json.loads(told.stdout)["estimate"]["usd_per_hour"] == pytest.approx(0.9)
    file.write_text("cluster: slurm\njobs: 3\n")
    told = CliRunner().invoke(app, ["plan", str(study), "--cluster", str(file)])
    assert "the cluster file has 3 problems" in str(told.exception)


@pytest.mark.engine
def test_a_failed_variant_makes_exit_status_1_and_is_grouped(tmp_path: Path, study: Path) -> None:
    # Within the schema's range, but EnergyPlus rejects the wall: only this variant is lost.
    study.write_text(
        STUDY.replace(
            "lighting: {object: Lights, field: watts_per_floor_area, values: [null, 6]}",
            "wall: {object: Material, name: 1IN Stucco, field: thickness, values: [null, 2.9]}",
        )
    )
    store = tmp_path / "store"
    run = bemsweep("run", study, "--store", store)
    assert run.returncode == 1, run.stderr
    assert "1 succeeded, 1 failed" in run.stdout
    groups = json.loads(bemsweep("errors", "office", "--store", store, "--json").stdout)
    assert [(group["status"], group["count"]) for group in groups] == [("failed", 1)]
    assert "highly conductive" in groups[0]["message"]
    assert groups[0]["examples"][0] in Store(store).names("raw")[0]
    told = bemsweep("errors", "office", "--store", store).stdout
    assert groups[0]["examples"][0] in told
    assert groups[0]["advice"] in told
    assert f".err      {groups[0]['err']}\n" in told
    assert Path(groups[0]["err"]).read_text().startswith("Program Version,EnergyPlus")
    assert f"bemsweep reproduce {groups[0]['examples'][0]} --to DIR --store {store}\n" in told
    assert told in run.stdout, "the run's own report says the same"
    assert bemsweep("run", study, "--store", store).returncode == 1, "it is still failed, and not run again"
    again = bemsweep("run", study, "--store", store, "--again", "failed", "--json")
    assert json.loads(again.stdout)["ran"] == 1


@pytest.mark.engine
def test_a_study_of_which_nothing_works_is_ended_with_what_its_failures_share(tmp_path: Path, study: Path) -> None:
    levels = ", ".join(f"{2.5 + number / 1000}" for number in range(40))
    wall = f"wall: {{object: Material, name: 1IN Stucco, field: thickness, values: [{levels}]}}"
    study.write_text(STUDY.replace("lighting: {object: Lights, field: watts_per_floor_area, values: [null, 6]}", wall))
    run = bemsweep("run", study, "--store", tmp_path / "store", "--max-failures", "2", "--json")
    assert run.returncode == 1, run.stderr
    report = json.loads(run.stdout)
    assert report["ended"].startswith("the run was ended: 3 of 41 variants have failed, more than the 2 that may")
    assert "3 with: CTF calculation convergence problem" in report["ended"]
    assert "--max-failures" in run.stderr
    assert report["statuses"]["pending"] > 30


@pytest.mark.engine
def test_a_definition_that_is_cut_needs_mending_and_not_another_try(tmp_path: Path, study: Path) -> None:
    store = tmp_path / "store"
    assert bemsweep("run", study, "--store", store, "--limit", "1").returncode == 0
    definition = store / "studies" / "office" / "study.json"
    definition.write_bytes(definition.read_bytes()[:-9])
    run = bemsweep("run", study, "--store", store)
    assert run.returncode == 2, run.stderr
    assert "bemsweep studies delete office" in run.stderr


@pytest.mark.engine
def test_export(tmp_path: Path, study: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    assert bemsweep("run", study, "--store", store).returncode == 0
    for words, files in (
        (["--to", out, "--format", "csv"], ["annual.csv", "variants.csv"]),
        (["--to", out / "a.parquet", "--shape", "long", "--group", "annual"], ["a.parquet"]),
        (["--to", out / "all.nc", "--variables", "electricity"], ["all.nc"]),
    ):
        made = bemsweep("export", "office", "--store", store, *words)
        assert made.returncode == 0, made.stderr
        assert [Path(line).name for line in made.stdout.splitlines()] == files
    assert (out / "annual.csv").read_text().count("\n") == 1 + 2 * 2
    told = bemsweep("export", study, "--store", store, "--to", out / "all.nc")
    assert (told.returncode, "overwrite it (--overwrite)" in told.stderr) == (2, True)
    again = bemsweep("export", study, "--store", store, "--to", out / "all.nc", "--overwrite", "--json")
    assert json.loads(again.stdout) == [str(out / "all.nc")]
    told = bemsweep("export", study, "--store", store, "--to", out / "folder")
    assert (told.returncode, "--format netcdf, parquet or csv" in told.stderr) == (2, True)
    told = bemsweep("export", study, "--store", store, "--to", out / "x.csv", "--variables", "electricty")
    assert (told.returncode, "did you mean 'electricity'?" in told.stderr) == (2, True)


@pytest.mark.engine
def test_a_parameter_that_changes_nothing_is_named(tmp_path: Path, study: Path) -> None:
    """No construction of the model has this material: EnergyPlus takes the edit without a word."""
    siding = "siding: {object: Material, name: Metal Siding, field: thickness, multiply: [null, 3]}"
    study.write_text(STUDY.replace("parameters:\n", f"parameters:\n  {siding}\n"))
    run = bemsweep("run", study, "--store", tmp_path / "store")
    assert run.returncode == 0, run.stderr
    assert "1 of 2 parameters change nothing: siding (all outputs are the same to the last bit" in run.stdout
    again = bemsweep("run", study, "--store", tmp_path / "store", "--json")
    assert json.loads(again.stdout)["without_effect"] == ["siding"]


@pytest.mark.engine
def test_a_variant_is_written_and_run_again(tmp_path: Path, study: Path) -> None:
    bemsweep("run", study, "--store", tmp_path / "store")
    (first, *_) = Store(tmp_path / "store").names("records")
    variant = Store(tmp_path / "store").names(f"records/{first}")[0].partition(".")[0]
    done = bemsweep("reproduce", variant[:8], "--to", tmp_path / "again", "--run", "--store", tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert "all 1 series are the same as the record's, to the last bit" in done.stdout
    assert {"in.idf", "in.epw", "run.py", "engine"} == {path.name for path in (tmp_path / "again").iterdir()}
    twice = bemsweep("reproduce", variant[:8], "--to", tmp_path / "again", "--store", tmp_path / "store")
    assert twice.returncode == 2
    assert "not an empty folder" in twice.stderr


@pytest.mark.engine
def test_raw_files_are_fetched(tmp_path: Path, study: Path) -> None:
    store = tmp_path / "store"
    assert bemsweep("run", study, "--store", store, "--limit", "1").returncode == 0
    study.write_text(STUDY + 'keep: ["*.err", {files: "*.sql", compress: true}]\n')
    assert "`keep` asks for eplusout.err, eplusout.sql now" in bemsweep("plan", study, "--store", store).stdout
    assert bemsweep("run", study, "--store", store).returncode == 0
    first = bemsweep("fetch", study, "--to", tmp_path / "here", "--store", store, "--files", "*.sql,*.err")
    assert first.returncode == 0, first.stderr
    assert "2 files brought to" in first.stdout
    assert "1 variants have none: they ran before `keep` asked for such files" in first.stdout
    (folder,) = [path for path in (tmp_path / "here").iterdir() if path.is_dir()]
    assert {path.name for path in folder.iterdir()} == {"eplusout.err", "eplusout.sql"}
    words = ("fetch", "office", "--to", tmp_path / "here", "--store", store, "--variant", folder.name, "--json")
    report = json.loads(bemsweep(*words).stdout)
    assert (report["brought"], report["there"], report["without"]) == (0, 2, [])


def test_every_problem_of_a_bad_study_is_told_and_nothing_is_run(tmp_path: Path, study: Path) -> None:
    study.write_text(
        STUDY.replace("watts_per_floor_area", "wats_per_floor_area")
        .replace("Electricity:Facility", "Electricty:Facility")
        .replace("run: design_day", "run: design_day\nweather_file: x")
    )
    result = bemsweep("run", study, "--store", tmp_path / "store")
    assert result.returncode == 2
    assert "unknown key 'weather_file'" in result.stderr
    assert "line 5" in result.stderr
    study.write_text(
        STUDY.replace("watts_per_floor_area", "wats_per_floor_area").replace("values: [null, 6]", "values: [6]")
    )
    result = bemsweep("run", study, "--store", tmp_path / "store")
    assert result.returncode == 2
    assert "watts_per_floor_area" in result.stderr
    assert "line 6" in result.stderr
    assert "Traceback" not in result.stderr
    assert not Store(tmp_path / "store").names("records")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "missing.yaml"], "missing.yaml"),
        (["status", "nothing"], "no results of a study 'nothing'"),
        (["errors", "nothing"], "no results of a study 'nothing'"),
        (["run", "STUDY", "--again", "broken"], "no status broken"),
        (["run", "STUDY", "--records-only", "--again", "failed"], "--again deletes records, which --records-only does"),
        (["run", "STUDY", "--records-only", "--verify"], "--verify deletes records, which --records-only does not"),
        (["run", "STUDY", "--shard", "2/8", "--again", "failed"], "--again deletes records, which --shard does not"),
        (["run", "STUDY", "--shard", "2/8", "--records-only"], "which --records-only does not: give one"),
        (["run", "STUDY", "--shard", "9/8"], "there is no share 9/8"),
        (["run", "STUDY", "--shard", "two"], "such as 2/8, not 'two'"),
        (["run", "STUDY", "--max-failures", "120%"], "number of variants or a share such as 5%, not '120%'"),
        (["run", "STUDY", "--engine", "/nowhere/energyplus"], "/nowhere/energyplus"),
        (["run", "STUDY", "--store", "STUDY/below-a-file"], "cannot write"),
        (["frobnicate"], "No such command"),
    ],
)
def test_bad_input_gets_one_message(tmp_path: Path, study: Path, words: list[str], told: str) -> None:
    filled = [word.replace("STUDY", str(study)) for word in words]
    if "--store" not in filled and filled[0] != "frobnicate":
        filled += ["--store", str(tmp_path / "store")]
    result = bemsweep(*filled)
    assert result.returncode == 2, result.stdout
    assert told in re.sub(r"\s+", " ", result.stderr), result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.engine
def test_describe_tells_what_a_study_file_can_name(tmp_path: Path) -> None:
    cache = {"BEMSWEEP_CACHE_DIR": str(tmp_path / "cache")}
    found = bemsweep("describe", "bundled:ref/small_office", "--find", "watts floor lights", **cache)
    assert found.returncode == 0, found.stderr
    assert "{object: Lights, field: watts_per_floor_area}  # all 5: 10.76 W/m2; from 0\n" in found.stdout
    told = json.loads(
        bemsweep("describe", "bundled:ref/small_office", "--find", "NaturalGas", "--json", **cache).stdout
    )
    assert {"meter": "NaturalGas:Facility", "units": "J"} in told["meters"]


@pytest.mark.engine
def test_three_commands_from_an_own_model_to_results(tmp_path: Path) -> None:
    """`init`, then `run --limit 2` of what it wrote, on design days; an existing file is left alone."""
    (tmp_path / "own.idf").write_bytes(InputFiles(tmp_path).find_one("bundled:ref/small_office").path.read_bytes())
    (tmp_path / "own.epw").write_bytes(InputFiles(tmp_path).find_one("bundled:usa_co_golden").path.read_bytes())
    file = tmp_path / "own study.yaml"
    words = ("init", tmp_path / "own.idf", tmp_path / "own.epw", "--out", file)
    made = bemsweep(*words, BEMSWEEP_CACHE_DIR=str(tmp_path / "cache"))
    assert made.returncode == 0, made.stderr
    assert f"bemsweep run '{file}'\n" in made.stdout
    again = bemsweep(*words)
    assert (again.returncode, again.stderr.startswith(f"{file} is there already")) == (2, True)
    text = file.read_text()
    assert "baseline: own.idf" in text
    file.write_text(text.replace("run: annual", "run: design_day", 1).replace("- summary", "# - summary"))
    run = bemsweep("run", file, "--limit", 2, "--store", tmp_path / "store")
    assert run.returncode == 0, run.stderr
    assert "2 run now" in run.stdout
    assert "4 pending" in run.stdout


def test_a_study_file_that_cannot_be_written_is_told_before_the_model_is_looked_at(tmp_path: Path) -> None:
    for out, told in (
        (tmp_path / "none" / "study.yaml", f"there is no folder {tmp_path / 'none'}"),
        (tmp_path, f"{tmp_path} is a folder: name the study file with --out"),
    ):
        made = bemsweep("init", "bundled:ref/small_office", "bundled:usa_il_chicago", "--out", out)
        assert (made.returncode, made.stderr.startswith(told)) == (2, True), made.stderr


def test_the_version_and_no_words() -> None:
    assert bemsweep_process("--version").stdout == f"bemsweep {bemsweep_version}\n"
    nothing = bemsweep_process()
    assert "Usage" in nothing.stdout + nothing.stderr


def test_help_names_the_verbs() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for verb in ("describe", "init", "plan", "run", "status", "errors", "export", "reproduce", "fetch"):
        assert verb in result.output


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _wait_until(condition: object, *, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.engine
@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_ctrl_c_stops_cleanly_and_leaves_nothing(tmp_path: Path, study: Path, ending: str) -> None:
    """SIGINT to the whole foreground group, as a terminal sends it, while quarters are simulated; twice, impatiently.

    SIGTERM ends it as well; SIGKILL leaves no time to commit, but no engine and no folder where one ran either.
    """
    model = InputFiles(tmp_path).find_one("bundled:ref/small_office").path.read_text(encoding="latin-1")
    model = re.sub(r"12,( *!- End Month)", r"3,\1", model)
    model = re.sub(r"NO,( *!- Run Simulation for Weather File Run Periods)", r"Yes,\1", model)
    (tmp_path / "quarter.idf").write_text(model)
    text = STUDY.replace("bundled:ref/small_office", "quarter.idf").replace("run: design_day", "run: run_period")
    study.write_text(text.replace("values: [null, 6]", "values: [null, 9, 8, 7, 6, 5]"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "bemsweep", "run", str(study), "--store", str(tmp_path / "store")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
        env={**os.environ, "BEMSWEEP_SCRATCH": str(scratch), "TMPDIR": str(scratch)},
    )  # fmt: skip
    seen: dict[int, psutil.Process] = {}

    def has_a_run_under_way() -> bool:
        assert process.poll() is None, process.communicate()
        seen.update({child.pid: child for child in _descendants(process.pid)})
        return any(scratch.glob("bemsweep-*/eplusout.err")) and any((tmp_path / "store" / "records").rglob("*.parquet"))

    _wait_until(has_a_run_under_way, timeout_s=120)
    _wait_until(lambda: len(list(scratch.glob("bemsweep-*/in.idf"))) >= 1)
    seen.update({child.pid: child for child in _descendants(process.pid)})
    running = [engine.parent for engine in scratch.glob("bemsweep-*/in.idf")]
    if ending == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(getattr(signal, ending))
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    if ending == "SIGKILL":
        _wait_until(lambda: not any(_is_alive(child) for child in seen.values()))
        _wait_until(lambda: not any(folder.exists() for folder in running))
        return
    assert process.returncode == 130, (out, err)
    assert time.monotonic() - began < 20
    assert "The same command carries on" in err
    assert "Traceback" not in err
    assert seen, "engines were never seen"
    _wait_until(lambda: not any(_is_alive(child) for child in seen.values()))
    assert not list(scratch.iterdir()), "scratch is empty"
    status = json.loads(bemsweep("status", "office", "--store", tmp_path / "store", "--json").stdout)
    assert status["variants"] == 6
    assert 1 <= status["statuses"]["succeeded"] < 6
    assert status["statuses"]["succeeded"] + status["statuses"]["pending"] == 6
    counts = json.loads(bemsweep("plan", study, "--store", tmp_path / "store", "--json").stdout)
    # A record may be written in the very moment of the stop: it is found by the next plan.
    assert counts["to_run"] <= status["statuses"]["pending"]
