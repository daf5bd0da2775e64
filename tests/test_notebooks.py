"""The notebooks: they run on the real engine without a warning, show what they say, and leave nothing behind."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import bemsweep

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path):
    notebook = nbformat.read(path, as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


def executed(name, tmp_path_factory):
    """Return the code cells of a notebook with what they show, and the folders that it was run in."""
    home, work, temporary = (tmp_path_factory.mktemp(folder) for folder in ("home", "work", "temporary"))
    notebook, cells = read(FOLDER / name)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(Path(bemsweep.__file__).parent.parent))
        environment.setenv("BEMSWEEP_CACHE_DIR", str(home / "cache"))
        environment.setenv("IPYTHONDIR", str(home / "ipython"))
        environment.setenv("JUPYTER_PREFER_ENV_PATH", "1")  # the kernel of this environment, not one of the user's
        environment.setenv("TMPDIR", str(temporary))
        environment.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # its `bemsweep`, too
        environment.delenv("BEMSWEEP_STORE", raising=False)
        environment.delenv("MPLBACKEND", raising=False)
        client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(work)}})
        client.execute()
    return cells, work, temporary


@pytest.fixture(scope="module")
def first_study(tmp_path_factory):
    return executed("01-first-study.ipynb", tmp_path_factory)


def shown(cells, kind):
    return [output.data[kind] for cell in cells for output in cell.outputs if kind in output.get("data", {})]


def printed(cells, stream="stdout"):
    outputs = [output for cell in cells for output in cell.outputs if output.output_type == "stream"]
    return "".join(output.text for output in outputs if output.name == stream)


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
def test_the_first_study_runs_and_shows_what_it_says(first_study):
    cells, work, temporary = first_study
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
    assert list(work.iterdir()) == list(temporary.iterdir()) == []


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_results_are_read_without_bemsweep(tmp_path_factory):
    cells, work, temporary = executed("03-results-without-bemsweep.ipynb", tmp_path_factory)
    assert not any(re.search(r"^(import|from) bemsweep", cell.source, re.MULTILINE) for cell in cells)
    text = printed(cells)
    assert "results are in" in text
    assert "/ /daily /hourly" in text or "/ /hourly /daily" in text
    assert "'standard_name': 'time'" in text
    assert "(6, 744) float64 J" in text
    (selected,) = [float(value) for value in re.findall(r"array\(([\d.]+)\)", " ".join(shown(cells, "text/plain")))]
    assert 10 < selected < 30
    assert text.rstrip().endswith("True True")
    assert list(work.iterdir()) == list(temporary.iterdir()) == []
