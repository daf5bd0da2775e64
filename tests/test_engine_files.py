"""Promise: raw files that are kept change none of the values, and come under EnergyPlus's own names."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyenergyplus.dataset import ashrae_models, ref_models

from bemsweep.engine_files import RAW_FILES, ask_for_files, files_fitting, needs_asking, unknown_file
from bemsweep.host_client import open_engine
from bemsweep.model import model_calendar, prepare_run, read_model
from bemsweep.outcome import judge
from bemsweep.outputs import Output
from bemsweep.records import outputs_sha256
from engine_jobs import ELECTRICITY, TEMPERATURE, job

ASKED = tuple(sorted(name for name in RAW_FILES if needs_asking(name)))
ALWAYS = {"in.idf", "eplusout.sql", "eplusout.err", "eplusout.end"}
ELSEWHERE = {
    "eplusout.expidf", "eplusmap.csv", "eplusmap.tab", "eplusmap.txt", "eplusout.dfs", "eplusout.glhe",
    "eplusscreen.csv", "eplusshading.csv", "eplusout_perflog.csv",
    *(f"eplus{stem}.{suffix}" for stem in ("zsz", "ssz", "spsz", "psz") for suffix in ("tab", "txt")),
    "eplusspsz.csv", "epluspsz.csv",
}  # fmt: skip
"""Files for which the small office has nothing to tell."""

PEAK = Output(
    "table", "HVACSizingSummary", "annual", "peak", "Entire Facility",
    table="Zone Sensible Cooling", row="CORE_ZN", column="User Design Load",
)  # fmt: skip


@pytest.fixture(scope="module")
def engine():
    with open_engine() as opened:
        yield opened


def run(engine, model, folder, raw_files, *outputs):
    """Run the design days of a model; return the run and the names of what it wrote."""
    folder.mkdir()
    calendar = model_calendar(read_model(model), "design_day", is_leap=False, has_timestep=False)
    asked = job(baseline=model, calendar=calendar, outputs=outputs, raw_files=raw_files)
    result = engine.run(asked, folder, timeout_s=120)
    assert judge(result) == ("succeeded", "")
    names = {path.name for path in folder.iterdir() if not path.name.startswith("bemsweep.")}
    return result, names - {"sqlite.err"}  # tells of the disk only, and is never kept


@pytest.mark.engine
def test_every_file_comes_when_it_is_asked_for_and_no_value_changes(engine, tmp_path):
    model = Path(ref_models["small_office"])
    bare, few = run(engine, model, tmp_path / "bare", (), TEMPERATURE, ELECTRICITY, PEAK)
    full, many = run(engine, model, tmp_path / "full", ASKED, TEMPERATURE, ELECTRICITY, PEAK)
    assert few == ALWAYS
    assert many == set(RAW_FILES) - ELSEWHERE
    assert outputs_sha256(bare.series) == outputs_sha256(full.series)
    assert (bare.err.count("Warning"), len(bare.series)) == (full.err.count("Warning"), 8)
    assert bare.model_sha256 != full.model_sha256
    empty = [name for name in many if (tmp_path / "full" / name).stat().st_size == 0]
    assert not empty, "such as a dictionary that no object asks for"


@pytest.mark.engine
def test_one_file_brings_no_other(engine, tmp_path):
    model = Path(ref_models["small_office"])
    for name in ("eplustbl.htm", "eplusout.eso", "eplusout.rdd"):
        _, written = run(engine, model, tmp_path / name, (name,), ELECTRICITY)
        assert written == ALWAYS | {name}
    tables = (tmp_path / "eplustbl.htm" / "eplustbl.htm").read_text(errors="replace")
    assert "Envelope Summary" in tables, "all summary reports, and not only those of the outputs"
    assert "Zone Sensible Cooling" in tables


@pytest.mark.engine
def test_values_of_a_model_with_tables_of_its_own_stay_too(engine, tmp_path):
    model = Path(ashrae_models["warehouse"])
    bare, _ = run(engine, model, tmp_path / "bare", (), TEMPERATURE, ELECTRICITY)
    full, _ = run(engine, model, tmp_path / "full", ASKED, TEMPERATURE, ELECTRICITY)
    assert outputs_sha256(bare.series) == outputs_sha256(full.series)


@pytest.mark.parametrize(
    ("suffixes", "style"),
    [
        (["csv"], "Comma"), (["tab"], "Tab"), (["txt"], "Fixed"), (["htm"], "HTML"), (["xml"], "XML"),
        (["csv", "htm"], "CommaAndHTML"), (["csv", "xml"], "CommaAndXML"), (["tab", "htm"], "TabAndHTML"),
        (["xml", "htm"], "XMLandHTML"), (["csv", "tab"], "All"), (["csv", "htm", "xml"], "All"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_tables_come_in_the_styles_of_their_suffixes(suffixes, style):
    document = read_model(Path(ref_models["small_office"]))
    prepare_run(document, "design_day", [ELECTRICITY], raw_files=[f"eplustbl.{suffix}" for suffix in suffixes])
    assert document["OutputControl:Table:Style"].first()["column_separator"] == style
    assert document["OutputControl:Table:Style"].first()["unit_conversion"] == "None"


def test_what_the_outputs_need_is_still_asked_for():
    document = read_model(Path(ref_models["small_office"]))
    prepare_run(document, "design_day", [PEAK], raw_files=["eplustbl.htm"])
    reports = [one["report_name"] for one in document["Output:Table:SummaryReports"].first().data["reports"]]
    assert reports == ["HVACSizingSummary", "AllSummary"]


def test_an_object_that_the_model_has_is_not_repeated():
    document = read_model(Path(ref_models["small_office"]))
    document.add("Output:Surfaces:Drawing", fields={"report_type": "DXF"}, validate=False)
    prepare_run(document, "design_day", [], keep_model_outputs=True)
    before = len(document["Output:Surfaces:Drawing"])
    ask_for_files(document, ["eplusout.dxf"])
    assert len(document["Output:Surfaces:Drawing"]) == before
    ask_for_files(document, ["eplusout.wrl"])
    assert len(document["Output:Surfaces:Drawing"]) == before + 1


def test_patterns_mean_names_and_case_does_not_matter():
    assert files_fitting("*.SQL") == ("eplusout.sql",)
    assert files_fitting("eplustbl.*") == tuple(f"eplustbl.{suffix}" for suffix in ("csv", "tab", "txt", "htm", "xml"))
    assert set(files_fitting("*")) == set(RAW_FILES)
    assert len(set(RAW_FILES)) == len(RAW_FILES)


@pytest.mark.parametrize(
    ("pattern", "right"),
    [
        ("*.html", "'*.htm'"),
        ("*.sqlite", "'*.sql'"),
        ("eplusout.htm", "'eplustbl.htm'"),
        ("eplusout.sq", "'eplusout.sql'"),
    ],
)
def test_a_pattern_of_nothing_gets_the_nearest_right_name(pattern, right):
    assert files_fitting(pattern) == ()
    assert f"did you mean {right}" in unknown_file(pattern)


def test_the_weather_is_no_raw_file():
    assert files_fitting("in.epw") == ()
    assert "eplusout.sql" in unknown_file("in.epw")
