"""Promise: whatever zones, options, models and weather files are called, results call them exactly so.

And names that would lead out of a store, texts that would act in a notebook or on a terminal, do neither.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyenergyplus.dataset import ref_models
from typer.testing import CliRunner

import bemsweep as bs
from bemsweep import export
from bemsweep.cli import app
from bemsweep.errors import StudyError
from bemsweep.results import status
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from small_studies import CHICAGO, FEW, local_client, run_study, small_study

NAMES = [
    "a/b", "..", "Zürich 日本 🏢", "=cmd()", "C:\\x", ".", "../../etc/passwd",
    "quote\"s'", "new\nline", "tab\there", "a\rb", "\x1b[31m", "\x7f",
    "e\u0301", "é", "\u202egnirts", "x" * 200, "é" * 200, "[red]", "</td><script>", "$x_1$", "%s{0}",
    "con", " lead", "trail ", "NaN", "null", "None", "true", "-1", "1e3", "a,b;c", "#", "a:b",
    "zarr.json", "c",
]  # fmt: skip
"""What each stands for is what someone's reader, shell, disk or format would take it for."""

OUTPUTS = [
    bs.Meter("Electricity:Facility", frequency="annual", as_="electricity"),
    bs.Variable("Zone Mean Air Temperature", frequency="annual", as_="temperature"),
]


def hostile_study(names: list[str]) -> bs.Study:
    """A variant for each name as the label of a model, of weather, of an option and as a level."""
    edit = [{"object": "Lights", "field": "watts_per_floor_area", "set": 4}]
    return small_study(
        name="hostile",
        baseline=dict.fromkeys(few_of(names), "bundled:ref/small_office"),
        weather=dict.fromkeys(few_of(names), CHICAGO["chicago"]),
        parameters={"glazing": bs.Options(dict.fromkeys(names, edit)), "text": bs.Call(_nothing)},
        design={"table": {
            "baseline": few_of(names), "weather": few_of(names)[::-1],
            "glazing": names, "text": [names[-1]] * (len(names) - 1) + names[:1],
        }},
        reference=False,
        outputs=OUTPUTS,
    )  # fmt: skip


def few_of(names: list[str]) -> list[str]:
    """Return labels of models and weather for so many variants, few of them: each takes a while to look at."""
    return [names[number % 4 if len(names) > 4 else number] for number in range(len(names))]


def _nothing(document: Any, value: Any) -> None:
    del document, value


def labels_of(ds: xr.Dataset) -> dict[str, list[str]]:
    return {name: list(map(str, ds[name].values)) for name in ("baseline", "weather", "glazing", "zone")}


def expected(names: list[str]) -> dict[str, list[str]]:
    return {"baseline": few_of(names), "weather": few_of(names)[::-1], "glazing": names, "zone": names}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The fixed list of names, run once; other tests read it."""
    store = Store(tmp_path_factory.mktemp("hostile") / "store")
    run_study(hostile_study(NAMES), store, FakeEngine(keys=NAMES))
    return store


def test_every_label_comes_back_exactly(hostile: Store) -> None:
    with_bemsweep = bs.open_results(hostile, "hostile")["annual"].to_dataset().load()
    plain = xr.open_zarr(f"{hostile.url}/studies/hostile/results.zarr", group="annual").load()
    for ds in (with_bemsweep, plain):
        assert labels_of(ds) == expected(NAMES)
        assert np.isfinite(ds.temperature.values).all()
        assert len(np.unique(ds.temperature.values[0])) == len(NAMES), "no zone takes another's place"
    assert list(bs.to_grid(with_bemsweep[["electricity"]].isel(variant=[0, 5])).glazing.values) == [NAMES[0], NAMES[5]]
    assert list(status(hostile, "hostile")["glazing"]) == NAMES
    assert not bs.plan(hostile_study(NAMES), store=hostile, engine=FakeEngine(keys=NAMES)).to_run


def test_nothing_of_them_is_a_name_of_an_object(hostile: Store) -> None:
    for one in hostile.objects():
        assert re.fullmatch(r"[A-Za-z0-9._/-]+", one.name), one.name


def test_every_label_is_exported_exactly(hostile: Store, tmp_path: Path) -> None:
    tree = bs.open_results(hostile, "hostile")
    export.to_netcdf(tree, tmp_path / "all.nc")
    with xr.open_dataset(tmp_path / "all.nc", group="annual", engine="h5netcdf") as ds:
        assert labels_of(ds) == expected(NAMES)
    export.to_parquet(tree, tmp_path / "parquet", shape="long")
    export.to_csv(tree, tmp_path / "csv", shape="long")
    columns = pq.read_table(tmp_path / "parquet" / "annual.parquet").to_pydict()
    with (tmp_path / "csv" / "annual.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name, labels in expected(NAMES).items():
        assert [label for label in dict.fromkeys(columns[name]) if label] == list(dict.fromkeys(labels))
        assert [label for label in dict.fromkeys(row[name] for row in rows) if label] == list(dict.fromkeys(labels))
    export.to_csv(tree, tmp_path / "wide", group="annual")
    export.to_parquet(tree, tmp_path / "wide.parquet", group="annual")
    heads = [f"{name}:temperature [degC]" for name in NAMES]
    with (tmp_path / "wide" / "annual.csv").open(newline="", encoding="utf-8") as file:
        assert [head for head in next(csv.reader(file)) if head.endswith(":temperature [degC]")] == heads
    names = pq.read_schema(tmp_path / "wide.parquet").names
    assert [head for head in names if head.endswith(":temperature [degC]")] == heads


def test_every_label_comes_back_from_object_storage(s3: Any, s3_env: Any) -> None:
    url = s3.new_bucket()
    run_study(hostile_study(NAMES), url, FakeEngine(keys=NAMES))
    assert labels_of(bs.open_results(url, "hostile")["annual"].to_dataset().load()) == expected(NAMES)
    plain = xr.open_zarr(f"{url}/studies/hostile/results.zarr", group="annual")
    assert labels_of(plain.load()) == expected(NAMES)


# NUL cannot stand in a name, nor can half of a character; EnergyPlus takes names that differ in case only for one.
_TEXTS = st.lists(
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=200).filter(
        lambda text: text.strip() != ""
    ),
    min_size=2,
    max_size=5,
    unique_by=str.casefold,
)


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(names=_TEXTS)
def test_any_label_comes_back_exactly(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    store = tmp_path_factory.mktemp("any")
    with local_client() as client:
        run_study(hostile_study(names), store, FakeEngine(keys=names), client=client)
    assert labels_of(bs.open_results(store, "hostile")["annual"].to_dataset().load()) == expected(names)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=["nul", "half"])
@pytest.mark.parametrize("where", ["baseline", "weather", "glazing", "text"])
def test_what_no_file_can_hold_is_refused(text: str, where: str, tmp_path: Path) -> None:
    study = hostile_study(["x", "y"])
    changes: dict[str, Any] = {"parameters": dict(study.parameters), "design": "grid"}
    if where in ("baseline", "weather"):
        changes[where] = {text: getattr(study, where)["x"]}
        changes["parameters"] = FEW
    elif where == "glazing":
        changes["parameters"] = {"glazing": bs.Options({text: [{"schedule": "BLDG_OCC_SCH", "multiply": 0.5}]})}
    else:
        changes["parameters"] = {"text": bs.Call(_nothing, values=[text])}
    with pytest.raises(StudyError, match="holds a character that results cannot"):
        bs.plan(small_study(**changes), store=tmp_path / "store", engine=FakeEngine())
    if text == "a\0b":
        (tmp_path / "study.yaml").write_text('name: "a\\0b"\n')
        with pytest.raises(StudyError, match=r"holds a character that no file can.* @ name, line 1"):
            bs.Study.from_yaml(tmp_path / "study.yaml")


# Arrays


def test_outputs_are_called_exactly_so(tmp_path: Path) -> None:
    names = ["x" * 200, "é" * 100, "Zürich 日本", "[red]", "$x_1$", "%s{0}", "NaN", "-1", "=cmd()", "a,b", "zarr", "c"]
    outputs = [bs.Meter(f"Meter {number}", frequency="annual", as_=name) for number, name in enumerate(names)]
    run_study(small_study(parameters={}, outputs=outputs), tmp_path / "store", FakeEngine())
    plain = xr.open_zarr(tmp_path / "store" / "studies" / "small" / "results.zarr", group="annual")
    export.to_netcdf(bs.open_results(tmp_path / "store", "small"), tmp_path / "all.nc")
    with xr.open_dataset(tmp_path / "all.nc", group="annual", engine="h5netcdf") as ds:
        for found in (plain, ds):
            assert set(names) <= set(map(str, found.data_vars))
            assert [found[name].attrs["long_name"] for name in names] == [f"Meter {n}" for n in range(len(names))]


@pytest.mark.parametrize(
    "name",
    ["", " ", "a/b", "C:\\x", "..", ".", "x.", " x", "x ", "con", "NUL.txt", "a\nb", "\x1b[31m", "\0", "\ud800",
     "é" * 101, "x" * 201, "__x", "\u202ex"],
    ids=ascii,
)  # fmt: skip
def test_an_output_cannot_be_called_so(name: str) -> None:
    with pytest.raises(StudyError, match="cannot name an array"):
        bs.Meter("Electricity:Facility", as_=name)


# Studies


ELSEWHERE = ["..", ".", "a/b", "/etc", "", "con", "Nul.x", "x.", "../few", "a\\b", "a\nb", "é", "x" * 101]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the study ``few``, in a folder of its own."""
    store = Store(tmp_path_factory.mktemp("few") / "store")
    run_study(small_study(name="few", parameters=FEW), store, FakeEngine())
    return store


@pytest.mark.parametrize(
    "words",
    [
        "status NAME", "errors NAME", "export NAME --to x.csv", "fetch NAME --to x", "studies delete NAME --yes",
        "studies rename NAME new", "studies rename few NAME",
    ],
)  # fmt: skip
def test_no_command_takes_a_study_that_is_elsewhere(
    words: str, few: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {one.name for one in few.objects()}
    for name in ELSEWHERE:
        given = [name if word == "NAME" else word for word in words.split()]
        done = CliRunner().invoke(app, [*given, "--store", few.url])
        assert isinstance(done.exception, bs.BemsweepError), name
        assert f"{name!r} is no study name" in str(done.exception)
    assert {one.name for one in few.objects()} == before
    assert [path.name for path in Path(few.url).parent.iterdir()] == ["store"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ELSEWHERE, ids=ascii)
def test_a_study_cannot_be_called_so(name: str, few: Store, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is no study name"):
        small_study(name=name)
    done = CliRunner().invoke(app, ["storage", "sync", few.url, str(tmp_path / "other"), "--study", name])
    assert f"{name!r} is no study name" in str(done.exception)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("variant", ["../x", "..", "a/b", "0", "", "\0\0\0\0", "*", "[0-9]abc"], ids=ascii)
def test_no_command_takes_a_variant_that_is_elsewhere(variant: str, few: Store, tmp_path: Path) -> None:
    for words in (["reproduce", variant], ["fetch", "few", "--variant", variant]):
        done = CliRunner().invoke(app, [*words, "--to", str(tmp_path / "x"), "--store", few.url])
        assert isinstance(done.exception, bs.BemsweepError), words
    assert not list(tmp_path.iterdir())


def test_a_disk_that_does_not_tell_small_letters_from_capital_ones(tmp_path: Path) -> None:
    """Two studies whose names differ in case only are one folder there, as this link makes them."""
    store = Store(tmp_path / "store")
    run_study(small_study(name="few", parameters={}), store, FakeEngine())
    (tmp_path / "store" / "studies" / "Few").symlink_to("few")
    before = store.get("studies/few/study.json")
    with pytest.raises(bs.BemsweepError, match=r"'few'"):
        bs.plan(small_study(name="Few", parameters={}), store=store, engine=FakeEngine())
    with pytest.raises(bs.BemsweepError):
        CliRunner().invoke(app, ["studies", "rename", "few", "Few", "--store", store.url], catch_exceptions=False)
    assert store.get("studies/few/study.json") == before
    assert list(status(store, "few")["status"]) == ["succeeded"]


# Notebooks and terminals

SCRIPT = "<script>alert(1)</script>"


def test_what_a_notebook_shows_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / f"{SCRIPT.replace('/', '')}.idf"
    model.write_bytes(Path(ref_models["small_office"]).read_bytes())
    edit = [{"object": "Lights", "field": "watts_per_floor_area", "set": 4}]
    study = small_study(
        baseline={SCRIPT: str(model)}, weather={SCRIPT: CHICAGO["chicago"], "b": "bundled:usa_co_golden"},
        parameters={"glazing": bs.Options({SCRIPT: edit}), "text": bs.Call(_nothing, values=[SCRIPT])}, outputs=OUTPUTS,
    )  # fmt: skip
    plan = bs.plan(study, store=tmp_path / SCRIPT.replace("/", "") / "store", engine=FakeEngine(keys=[SCRIPT]))
    object.__setattr__(plan, "warnings", (SCRIPT,))
    run = bs.run(plan)
    monkeypatch.setattr(run, "status", lambda: run._driver.table().assign(message=SCRIPT, status=SCRIPT))
    tree = bs.open_results(plan.store, study.name)
    annual = tree["annual"].to_dataset()
    found = bs.contrast(annual, "weather", SCRIPT, "b")
    for one in (study, plan, run, tree, annual, found):
        html = one._repr_html_()
        assert "<script>" not in html, type(one)
        assert "&lt;script&gt;" in html, type(one)
    for one in (study, plan, run):
        assert "mathjax_ignore" in one._repr_html_() or "tex2jax_ignore" in one._repr_html_()
    assert not hasattr(StudyError, "_repr_html_"), "notebooks show errors as text"


def test_what_a_description_shows_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    text = Path(ref_models["small_office"]).read_text(encoding="latin-1")
    model = tmp_path / "model.idf"
    model.write_text(re.sub(r"\bCore_ZN(?=\s*[,;])", SCRIPT, text, flags=re.IGNORECASE))
    description = bs.describe(model, engine=FakeEngine(keys=[SCRIPT], reports=["Zone Mean Air Temperature"]))
    for shown in (description, description.find("script"), description.find("nothing <b> fits")):
        assert "<script>" not in shown._repr_html_()
        assert "<b>" not in shown._repr_html_()
    assert "&lt;script&gt;" in description.find("script")._repr_html_()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[red]x[/red]", "[red]x[/red]"),
        ("[/]", "[/]"),
        (":warning:", ":warning:"),
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("all is well\rWRONG", r"all is well\rWRONG"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("日本 é", "日本 é"),
    ],
    ids=ascii,
)
def test_nothing_acts_on_the_terminal(text: str, shown: str, hostile: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    table = status(hostile, "hostile").assign(status="failed", message=text)
    monkeypatch.setattr("bemsweep.results.status", lambda *_, **__: table)
    errors = CliRunner().invoke(app, ["errors", "hostile", "--store", hostile.url])
    assert shown in errors.stdout
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", errors.stdout)
    monkeypatch.setattr("bemsweep.results.status", lambda *_, **__: table.assign(status=text))
    told = CliRunner().invoke(app, ["status", "hostile", "--store", hostile.url])
    assert f" {shown}\n" in told.stdout
    json_told = CliRunner().invoke(app, ["status", "hostile", "--store", hostile.url, "--json"]).stdout
    assert json_told.isascii()
    assert "\x1b" not in json_told


# The engine itself

LEGAL = ["日本/..:\\", "q\"u'ote", "..", "C:\\temp", "<script>[red]$x$", "é" * 50]
"""Zones of the small office, called so; an IDF has no `,`, `;`, `!` and line ends in a name."""


@pytest.mark.engine
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_zones_of_a_real_model(encoding: str, tmp_path: Path) -> None:
    names = LEGAL if encoding == "utf-8" else ["Zürich", *LEGAL[1:]]
    text = Path(ref_models["small_office"]).read_text(encoding="latin-1")
    olds = ["Core_ZN", "Perimeter_ZN_1", "Perimeter_ZN_2", "Perimeter_ZN_3", "Perimeter_ZN_4", "Attic"]
    for old, new in zip(olds, names, strict=True):
        text = re.sub(rf"\b{old}(?=\s*[,;])", lambda _, new=new: new, text, flags=re.IGNORECASE)
    text = text.replace("BLDG_LIGHT_SCH", "Bürö/..:[x]")
    (tmp_path / "model.idf").write_text(text, encoding=encoding)
    study = small_study(
        run="design_day", baseline=str(tmp_path / "model.idf"),
        parameters={"on": bs.Schedule("Bürö/..:[x]", multiply=[None, 0.5])},
        outputs=[bs.Variable("Zone Mean Air Temperature", frequency="hourly", as_="temperature"),
                 bs.Variable("Zone Lights Electricity Energy", frequency="hourly", as_="power"),
                 bs.Variable("Schedule Value", key="Bürö*", frequency="hourly", as_="values")],
    )  # fmt: skip
    run = bs.run(bs.plan(study, store=tmp_path / "store"))
    assert list(run.status()["status"]) == ["succeeded"] * 2, list(run.status()["message"])
    ds = xr.open_zarr(tmp_path / "store" / "studies" / "small" / "results.zarr", group="hourly").load()
    assert set(ds.zone.values) == set(names)
    assert list(ds.schedule.values) == ["Bürö/..:[x]"]
    assert np.isfinite(ds.temperature.values).all()
