"""The notebooks: on the real engine, without a warning, they show what they say; again, all but 01 start no engine."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
import xarray as xr
from nbclient import NotebookClient

import bemsweep
from dask_processes import TlsCluster
from small_studies import assert_same_cubes

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LAMPS = "studies/lamps/results.zarr"


def read(path):
    notebook = nbformat.read(path, as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def run(tmp_path_factory):
    """Return what runs a notebook: each call of a test in the same folders, as a user would who runs it again."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("home", "work", "temporary")}

    def run(name, *, then=""):
        """Return the code cells with what they show; `then` is run behind the cell that is tagged `parameters`."""
        notebook, cells = read(FOLDER / name)
        for number, cell in enumerate(notebook.cells):
            if then and "parameters" in cell.metadata.get("tags", ()):
                notebook.cells.insert(number + 1, nbformat.v4.new_code_cell(then))
                break
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("PYTHONPATH", str(Path(bemsweep.__file__).parent.parent))
            environment.setenv("BEMSWEEP_CACHE_DIR", str(folders["home"] / "cache"))
            environment.setenv("DASK_CONFIG", str(folders["home"] / "dask"))  # no login to Coiled
            environment.setenv("IPYTHONDIR", str(folders["home"] / "ipython"))
            environment.setenv("JUPYTER_PREFER_ENV_PATH", "1")  # the kernel of this environment, not one of the user's
            environment.setenv("TMPDIR", str(folders["temporary"]))
            environment.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # its `bemsweep`, too
            for variable in ("BEMSWEEP_STORE", "MPLBACKEND", "DASK_COILED__TOKEN"):
                environment.delenv(variable, raising=False)
            resources = {"metadata": {"path": str(folders["work"])}}
            NotebookClient(notebook, kernel_name="python3", resources=resources).execute()
        assert list(folders["work"].iterdir()) == []
        return cells, folders["temporary"]

    return run


def records(folder):
    """Return when each record below a folder was written: a variant that runs again writes its own anew."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("records/**/*.parquet")}


def shown(cells, kind):
    return [output.data[kind] for cell in cells for output in cell.outputs if kind in output.get("data", {})]


def printed(cells, stream="stdout"):
    outputs = [output for cell in cells for output in cell.outputs if output.output_type == "stream"]
    return "".join(output.text for output in outputs if output.name == stream)


def read_group(path):
    return xr.open_zarr(path, group="hourly").load()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_outputs_are_kept_and_it_is_short(path):
    _, cells = read(path)
    assert [cell.execution_count or list(cell.outputs) for cell in cells] == [[]] * len(cells)
    assert len(cells) <= 20
    assert max(len(cell.source.splitlines()) for cell in cells) <= 20


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    texts = [cell.source for cell in read(path)[0].cells if cell.cell_type == "markdown"]
    links = [link for text in texts for link in re.findall(r"\]\((?!https?:)([^)#]*)", text)]
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.engine
@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_the_first_study_runs_and_shows_what_it_says(run):
    cells, temporary = run("01-first-study.ipynb")
    assert printed(cells, "stderr") == ""
    assert len(shown(cells, "image/png")) == 6
    (found, *_, plan, run) = [table for table in shown(cells, "text/html") if "<p>" in table or "variants" in table]
    assert "all 5: 9.5 W/m2" in found
    assert "9: 0 stored, 8 to run" in plan
    assert "USA IL-CHICAGO-OHARE" in plan
    assert "8 of 8 done (8 succeeded)" in run
    text = printed(cells)
    assert "without effect: ()  failed: 0" in text
    assert "{'variants': 16, 'stored': 9, 'to_run': 7}" in shown(cells, "text/plain")
    assert "DualSetPointWithDeadBand" in text
    assert "differences: ()" in text
    assert list(temporary.iterdir()) == []


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_from_the_laptop_to_a_cluster(run):
    cells, temporary = run("02-laptop-to-cluster.ipynb")
    (folder,) = temporary.iterdir()
    assert "2 were there, 6 of 6 succeeded" in printed(cells)
    assert [len(cell.outputs) for cell in cells if "bs.run(" in cell.source] == [1, 1], "progress in place"
    assert len(shown(cells, "image/png")) == 1
    assert printed(cells, "stderr") == ""

    assert_same_cubes(read_group(folder / "laptop-store" / LAMPS), read_group(folder / "shared-store" / LAMPS))
    written = records(folder)
    assert len(written) == 6 + 6
    assert "6 were there, 6 of 6 succeeded" in printed(run("02-laptop-to-cluster.ipynb")[0])
    assert records(folder) == written


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_with_a_cluster_of_others_and_a_bucket_only_two_names_change(run, s3_env, tmp_path):
    bucket, cluster = f"{s3_env.new_bucket()}/bemsweep", TlsCluster(tmp_path, workers=2)
    there = f"elsewhere = {{'cluster': {str(cluster.file)!r}, 'store': {bucket!r}}}"
    try:
        cluster.start()
        cells, temporary = run("02-laptop-to-cluster.ipynb", then=there)
    finally:
        cluster.stop()
    assert "2 were there, 6 of 6 succeeded" in printed(cells)
    (folder,) = temporary.iterdir()
    assert_same_cubes(read_group(f"{bucket}/{LAMPS}"), read_group(folder / "laptop-store" / LAMPS))


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_a_session_on_coiled_runs_without_an_account(run):
    cells, temporary = run("04-coiled.ipynb")
    (folder,) = temporary.iterdir()
    text = printed(cells)
    assert "worker_vm_types=['c7a.large', 'c6a.large']" in text
    assert "['Cluster', 'close']" in text
    assert re.search(r"^cost      about \$0\.\d+: 1 x c7a.large or c6a.large spot", text, re.MULTILINE)
    (plan,) = [text for text in shown(cells, "text/html") if "to go" in text]
    assert "4 stored, 5 to run" in plan
    assert re.search(r"2 to 10 x c7a.large or c6a.large spot, 20 at once, about \$0\.\d", plan)
    assert text.rstrip().endswith(": 5 succeeded"), "the last line of the log"
    written = records(folder)
    assert len(written) == 9
    again = printed(run("04-coiled.ipynb")[0])
    assert "['Cluster', 'close']" in again
    assert records(folder) == written


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_results_are_read_without_bemsweep(run):
    cells, temporary = run("03-results-without-bemsweep.ipynb")
    assert not any(re.search(r"^(import|from) bemsweep", cell.source, re.MULTILINE) for cell in cells)
    text = printed(cells)
    assert "results are in" in text
    assert "/ /daily /hourly" in text or "/ /hourly /daily" in text
    assert "'standard_name': 'time'" in text
    assert "(6, 744) float64 J" in text
    (selected,) = [float(value) for value in re.findall(r"array\(([\d.]+)\)", " ".join(shown(cells, "text/plain")))]
    assert 10 < selected < 30
    assert text.rstrip().endswith("True True")
    written = records(temporary / "bemsweep-january")
    assert len(written) == 6
    assert "6 succeeded; 0 run now" in printed(run("03-results-without-bemsweep.ipynb")[0])
    assert records(temporary / "bemsweep-january") == written
