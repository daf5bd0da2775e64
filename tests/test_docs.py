"""The documents: their examples run, what they say is refused is refused, and what they point to is there.

A comment before a block says what it is: ``<!-- run -->`` Python to run, in order and in one namespace for each page;
``<!-- study -->`` a study file that can be planned; ``<!-- refused: TEXT -->`` one that is refused with this text;
``<!-- file: NAME -->`` a file that the others use.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel
from pyenergyplus.dataset import ref_models

import bemsweep as bs
from bemsweep.cluster_file import Coiled, Local, Scheduler, Slurm
from bemsweep.model_file import read_model
from bemsweep.testing import FakeEngine
from direct_engine import CHICAGO, install_energyplus
from small_studies import run_study

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
ZONES = ["Core_ZN", *(f"Perimeter_ZN_{number}" for number in range(1, 5))]

_BLOCK = re.compile(r"^<!-- (run|study|refused|file)(?:: (.*?))? -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
_TEST = re.compile(r"tests/(test_\w+\.py)::(test_\w+)")
_ROW_OF_TESTS = re.compile(r"\]\(tests/(test_\w+\.py)\)((?:,? `test_\w+`)+)")


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return kind, argument and text of each marked block of a page."""
    return [(kind, argument, text) for kind, argument, text in _BLOCK.findall((ROOT / page).read_text())]


STUDIES = [
    pytest.param(kind, argument, text, id=re.search(r"^name: (.*)$", text, re.MULTILINE)[1])
    for kind, argument, text in blocks("docs/study-file.md")
    if kind in ("study", "refused")
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BEMSWEEP_STORE", raising=False)
    return tmp_path


def run_blocks(page: str) -> dict[str, Any]:
    """Run a page's blocks of Python one after the other and return what they leave."""
    names: dict[str, Any] = {}
    for kind, _, text in blocks(page):
        if kind == "run":
            exec(compile(text, page, "exec"), names)
    return names


@pytest.mark.engine
def test_the_readmes_lines_end_in_a_plot(here: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    plt.close("all")
    left = run_blocks("README.md")
    lines = plt.gca().get_lines()
    assert len(lines) == 3
    least, most = left["monthly"].sum("time").values[[-1, 0]]
    assert 0 < least < most
    assert plt.gca().get_ylabel() == "Electricity:Facility [kWh]"
    plt.close("all")


def test_the_readmes_study_is_that_of_the_demo() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert text in (ROOT / "examples" / "office.yaml").read_text()


@pytest.mark.engine
def test_reading_results(here: Path) -> None:
    """On the demo's study with made-up values, and on design days of the real engine."""
    pytest.importorskip("matplotlib").use("agg")
    demo = bs.Study.from_yaml(ROOT / "examples" / "office.yaml")
    run_study(demo, "demo-store", FakeEngine(keys=ZONES))
    left = run_blocks("docs/reading-results.md")
    assert left["july"].sizes == {"variant": 2, "time": 31 * 24}
    assert left["by_lighting"].sizes == {"time": 1}
    assert left["grid"].electricity.sizes == {"time": 1, "lighting": 3, "infiltration": 2, "orientation": 2}
    assert left["grid"].electricity.notnull().all()
    assert left["dimmed_by_6"]["hourly"].electricity.sizes == {"pair": 4, "time": 8760}
    assert left["ax"].get_xlabel() == "time [month]"
    left["plt"].close("all")
    assert left["saved"].sizes == {"variant": 12, "time": 8760}
    assert list(left["table"].status) == ["succeeded"] * 12
    assert left["monthly"].sizes == {"variant": 12, "time": 12}
    assert list(left["difference"] < 0) == [False, True]
    assert left["of_heating"].sizes == {"variant": 2, "fuel": 2}
    assert len(left["record"]) == 3 + len(ZONES)
    assert left["lost"].empty
    assert {path.name for path in Path("tables").iterdir()} == {"hourly.csv", "annual.csv", "variants.csv"}
    table = pd.read_csv("tables/hourly.csv")
    assert list(table.columns[-2 - len(ZONES) : -len(ZONES)]) == ["time", "electricity [J]"]
    assert len(pd.read_parquet("hourly.parquet")) == 12 * 8760 * (1 + len(ZONES))
    assert Path("office.nc").stat().st_size > 1e6
    assert left["peak"].sizes == {"variant": 2, "design_day": 1}
    assert left["peak"].values[1] < left["peak"].values[0]
    assert list(left["hour_of_day"].values) == list(range(24))


@pytest.mark.engine
def test_the_first_hour(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(here / "cache"))
    plt.close("all")
    left = run_blocks("docs/first-hour.md")
    line = re.findall(r"^  \{object.*$", (ROOT / "docs" / "first-hour.md").read_text(), re.MULTILINE)
    assert line
    assert set(line) <= set(str(left["lights"]).splitlines())
    assert len(left["zones"]) == 6
    assert set(left["power"]["value"]) == {10.76}
    assert len(plt.gca().get_lines()) == 6
    plt.close("all")


def test_the_listing_of_the_demo_is_true(here: Path) -> None:
    demo = bs.Study.from_yaml(ROOT / "examples" / "office.yaml")
    run_study(demo, "demo-store", FakeEngine(keys=ZONES))
    hourly = bs.open_results("demo-store", "office")["hourly"].to_dataset()
    page = (ROOT / "docs" / "reading-results.md").read_text()
    (listing,) = re.findall(r"^```\n(Dimensions:.*?)^```$", page, re.MULTILINE | re.DOTALL)
    told = dict(re.findall(r"^ +\*? *(\w+) +\((.*?)\)", listing, re.MULTILINE))
    assert told == {name: ", ".join(map(str, variable.dims)) for name, variable in hourly.variables.items()}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files that the studies of the reference use, and a store that keeps probes."""
    folder = tmp_path_factory.mktemp("study-file")
    for kind, name, text in blocks("docs/study-file.md"):
        if kind == "file":
            (folder / name).write_text(text)
    with contextlib.chdir(folder):
        run_blocks("docs/study-file.md")
    yield folder
    sys.modules.pop("my_edits", None)


@pytest.mark.engine
@pytest.mark.parametrize(("kind", "argument", "text"), STUDIES)
def test_studies_of_the_reference(shared: Path, kind: str, argument: str, text: str) -> None:
    file = shared / "study.yaml"
    file.write_text(text)
    if kind == "study":
        study = bs.Study.from_yaml(file, allow_python="call: " in text)
        assert bs.plan(study, store=shared / "store").to_run
    else:
        with pytest.raises(bs.BemsweepError, match=re.escape(argument)):
            bs.plan(bs.Study.from_yaml(file, allow_python=True), store=shared / "store")


@pytest.fixture(scope="module")
def coming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages for users of other tools find beside them: a model of three days, its template and its weather.

    They share a store, so that what one page ran another need not.
    """
    folder = tmp_path_factory.mktemp("coming")
    office = Path(ref_models["small_office"]).read_text(encoding="latin-1")
    for old, new in (
        (r"NO(,\s*!- Run Simulation for Weather File Run Periods)", r"YES\1"),
        (r"12(,\s*!- End Month)", r"1\1"),
        (r"31(,\s*!- End Day of Month)", r"3\1"),
        (r"Simple(;\s*!- Option Type)", r"SimpleAndTabular\1"),
    ):
        office, count = re.subn(old, new, office)
        assert count == 1, old
    (folder / "office.idf").write_text(office, encoding="latin-1")
    template = re.sub(r"10\.76(,\s*!- Watts per Floor Area)", r"@@lighting@@\1", office)
    template = template.replace("0.000302,", "@@infiltration@@,")
    (folder / "template.idf").write_text(template, encoding="latin-1")
    (folder / "chicago.epw").symlink_to(CHICAGO)
    install_energyplus(folder / "installed")
    return folder


@pytest.fixture
def follow(coming: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Do what a page says, one block after the other: files are written, studies planned, Python run."""
    monkeypatch.chdir(coming)
    monkeypatch.delenv("BEMSWEEP_STORE", raising=False)
    monkeypatch.delenv("ENERGYPLUS_DIR", raising=False)
    monkeypatch.setenv("PATH", str(coming / "installed"), prepend=os.pathsep)

    def follow_page(page: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for kind, name, text in blocks(page):
            if kind == "run":
                exec(compile(text, page, "exec"), names)
            else:
                Path(name or "study.yaml").write_text(text)
            if kind == "study":
                assert bs.plan(bs.Study.from_yaml("study.yaml")).wanted_variants
        return names

    return follow_page


def values_of(left: dict[str, Any]) -> dict[tuple[float | None, float | None], tuple[float, list[float]]]:
    """Return site energy and electricity by lighting and infiltration, as the pages leave them."""
    electricity = left["electricity"]
    found = {}
    for row in range(electricity.sizes["variant"]):
        one = electricity.isel(variant=row)
        point = (None if (level := float(one[name])) != level else level for name in ("lighting", "infiltration"))
        found[tuple(point)] = round(float(left["site_energy"][row]), 2), list(one.values)
    return found


@pytest.mark.engine
def test_coming_from_idfkit(follow: Callable[[str], dict[str, Any]]) -> None:
    """Both ways give the same: electricity to the last bit, site energy as far as the table is printed."""
    left = follow("docs/coming-from-idfkit.md")
    ours = values_of(left)
    assert len(ours) == 6
    assert ours == {point: (energy, list(electricity)) for point, (energy, electricity) in left["theirs"].items()}
    assert len({energy for energy, _ in ours.values()}) == 6
    office = read_model(Path("office.idf"))
    before = len(office["FenestrationSurface:Detailed"])
    runpy.run_path("idfkit_edits.py")["set_window_ratio"](office, 0.3)
    assert len(office["FenestrationSurface:Detailed"]) != before


@pytest.mark.engine
def test_storage_for_users_of_idfkit(
    s3: Any, s3_env: Any, coming: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prepared here, run by other processes, collected from a third place; and the same by bemsweep, all on S3."""
    for name in ("office.idf", "chicago.epw"):
        (tmp_path / name).symlink_to(coming / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(coming / "installed"), prepend=os.pathsep)
    bucket = s3.new_bucket()
    left: dict[str, Any] = {}
    for kind, name, block in blocks("docs/storage.md"):
        text = block.replace("s3://my-bucket", bucket)
        if kind == "run":
            exec(compile(text, "docs/storage.md", "exec"), left)
        elif kind == "study":
            Path("study.yaml").write_text(text)
            bs.run(bs.plan(bs.Study.from_yaml("study.yaml"), store=f"{bucket}/store"))
        elif name == "worker.py":
            Path(name).write_text(text)
            for case in left["cases"]:
                subprocess.run([sys.executable, name, case], check=True, timeout=120)
    assert list(left["theirs"]) == [None, 8, 6]
    assert [round(float(energy), 2) for energy in left["site_energy"]] == list(left["theirs"].values())
    assert list(left["severe"]) == []
    assert "AnnualBuildingUtilityPerformanceSummary" in left["tables"]


@pytest.mark.engine
def test_coming_from_eppy(follow: Callable[[str], dict[str, Any]]) -> None:
    left = follow("docs/coming-from-eppy.md")
    assert len(values_of(left)) == 6
    office = read_model(Path("office.idf"))
    runpy.run_path("eppy_edits.py")["set_lighting"](office, 8)
    assert {lights.watts_per_floor_area for lights in office["Lights"]} == {8}


@pytest.mark.engine
def test_coming_from_jeplus(follow: Callable[[str], dict[str, Any]], coming: Path) -> None:
    """The template is refused as the page says, and the script makes of it what the page says."""
    office = (coming / "office.idf").read_text(encoding="latin-1")
    with pytest.raises(bs.BemsweepError, match=r"line \d+: Field 'watts_per_floor_area' .*@@lighting@@"):
        bs.plan(bs.Study(name="t", baseline="template.idf", weather="chicago.epw", outputs=["summary"]))
    follow("docs/coming-from-jeplus.md")
    assert (coming / "office.idf").read_text(encoding="latin-1") == office
    table = pd.read_csv("jobs.csv")
    assert table.to_dict("list") == {
        "weather": ["chicago"] * 3, "lighting": [10.76, 8, 6], "infiltration": [0.000302, 0.000302, 0.000151]
    }  # fmt: skip
    jobs = bs.Study.from_yaml("study.yaml")
    assert jobs.name == "jobs"
    assert len(bs.plan(jobs).wanted_variants) == 4


@pytest.mark.engine
def test_coming_from_buildstockbatch(follow: Callable[[str], dict[str, Any]]) -> None:
    left = follow("docs/coming-from-buildstockbatch.md")
    assert left["electricity"].sizes == {"variant": 6, "time": 1}
    assert left["saved"].sizes == {"pair": 2, "time": 1}
    assert (left["saved"] < 0).all()
    page = (ROOT / "docs" / "coming-from-buildstockbatch.md").read_text()
    (condition,) = re.findall(r"`exclude: \[\"(.*?)\"\]`", page)
    fewer = left["study"].model_copy(update={"exclude": [condition]})
    assert len(bs.plan(fewer).wanted_variants) == 5


def test_the_reference_names_every_key() -> None:
    text = (ROOT / "docs" / "study-file.md").read_text()
    parts = [bs.Study, bs.Field, bs.Call, bs.Meter, bs.Variable]
    keys = {info.alias or name for part in parts for name, info in part.model_fields.items()}
    assert {key for key in keys if f"`{key}`" not in text} == set()


@pytest.mark.parametrize("kind", [Coiled, Local, Scheduler, Slurm])
def test_pages_of_clusters_name_every_key_and_its_default(kind: type[BaseModel]) -> None:
    page = {Coiled: "coiled", Slurm: "slurm"}.get(kind, "local")
    text = (ROOT / "docs" / f"{page}.md").read_text()
    for name, field in kind.model_fields.items():
        assert re.search(rf"(`{name}`|^{name}:)", text, re.MULTILINE), name
        if isinstance(field.default, str) and name != "cluster":
            assert re.search(rf"^\| `{name}` \|.*\| `{field.default}` \|$", text, re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for link, anchor in _LINK.findall(text):
        target = (page.parent / link).resolve() if link else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor[1:] in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def test_a_cluster_that_outlives_its_laptop_can_be_asked_for() -> None:
    coiled = pytest.importorskip("coiled")
    block = re.compile(r"<!-- bound: coiled.Cluster -->\n```python\ncluster = (.*?^\))", re.MULTILINE | re.DOTALL)
    (call,) = block.findall((ROOT / "docs" / "coiled.md").read_text())
    arguments = eval(call.replace("coiled.Cluster", "dict"))
    inspect.signature(coiled.Cluster.__init__).bind(None, **arguments)
    assert not arguments["shutdown_on_close"]


@pytest.mark.parametrize("page", ["README.md", "docs/design.md"])
def test_promises_name_tests_that_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(_TEST.findall(text))
    named |= {(file, name) for file, names in _ROW_OF_TESTS.findall(text) for name in re.findall(r"test_\w+", names)}
    assert len(named) > 8
    missing = {f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text()}
    assert missing == set()


def test_every_module_has_its_line() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    told = set(re.findall(r"^\| `(\w+\.py)` \|", text, re.MULTILINE))
    assert told == {path.name for path in (ROOT / "src" / "bemsweep").glob("*.py")}


def test_every_target_that_is_told_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    told = {name for page in PAGES for name in re.findall(r"`?make (?:[A-Z]+=\S+ )?([a-z-]+)\b", _code(page))}
    assert told <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {"demo", "test"} <= told


def _code(page: Path) -> str:
    """Return what stands in a page between back quotes or fences."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), re.DOTALL))


SCRAPE = """
import urllib.request
import bemsweep as bs
from bemsweep.testing import FakeEngine
from small_studies import local_client, small_study
with local_client(processes=True, worker_dashboard_address="127.0.0.1:0") as client:
    bs.run(bs.plan(small_study(name="office"), store="store", engine=FakeEngine()), client=client)
    (worker,) = client.scheduler_info()["workers"].values()
    for url in (client.dashboard_link.removesuffix("/status"), f"http://127.0.0.1:{worker['services']['dashboard']}"):
        print(urllib.request.urlopen(f"{url}/metrics").read().decode())
"""


def test_the_metrics_that_are_told_are_there(here: Path) -> None:
    """In a process of its own: who is asked for metrics keeps its scheduler for ever."""
    pytest.importorskip("prometheus_client")
    told = set(re.findall(r"`(?:rate\()?(dask_\w+(?:{[^}]*})?)", (ROOT / "docs" / "monitoring.md").read_text()))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}
    command = [sys.executable, "-c", SCRAPE]
    scrape = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert scrape.returncode == 0, scrape.stderr
    found = scrape.stdout.replace(",", ", ")
    missing = [metric for metric in told if metric not in found and f"# TYPE {metric} " not in found]
    assert len(told) > 10
    assert missing == []
