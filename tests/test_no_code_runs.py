"""Promise: nothing of a stranger's runs: not what a study file names, nor what a store, a model or a folder holds.

Each attack would leave a mark: a folder ``ran``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numcodecs.pickles
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from typer.testing import CliRunner

import bemsweep as bs
from bemsweep.cli import app
from bemsweep.errors import StudyError
from bemsweep.raw_files import fetch
from bemsweep.record_file import from_bytes, to_bytes
from bemsweep.reproduction import reproduce
from bemsweep.results import status
from bemsweep.store import Store
from bemsweep.studies import delete_study, find_deletion, list_studies
from bemsweep.studystate import StudyState
from bemsweep.sync import sync
from bemsweep.testing import FakeEngine
from bemsweep.unused import find_unused
from small_studies import FEW, run_study, small_study

HEAD = """\
name: stranger
baseline: bundled:ref/small_office
weather: {chicago: bundled:usa_il_chicago}
run: design_day
outputs: [{meter: "Electricity:Facility", frequency: annual, as: electricity}]
"""
CALL = 'parameters:\n  wwr: {call: "stranger_edits:edit", values: [1]}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stranger's folder: a module that leaves a mark when it is imported, a program that does when it is run."""
    made = tmp_path / "stranger"
    made.mkdir()
    (made / "stranger_edits.py").write_text(f"import os\nos.makedirs({str(tmp_path / 'ran')!r})\ndef edit(d, v): ...\n")
    (made / "energyplus").write_text(f"#!/bin/sh\nmkdir {tmp_path / 'ran'}\n")
    (made / "energyplus").chmod(0o755)
    return made


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path) -> Any:
    yield
    sys.modules.pop("stranger_edits", None)
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def evil(tmp_path: Path) -> bytes:
    """What leaves the mark when it is unpickled."""
    return pickle.dumps(_Mark(str(tmp_path / "ran")))


class _Mark:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def problems_of(file: Path, **how: Any) -> list[str]:
    with pytest.raises(StudyError) as caught:
        bs.Study.from_yaml(file, **how)
    return [str(problem) for problem in caught.value.problems]


# A study file


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (CALL, "parameters.wwr.call, line 7"),
        ('x: &x {call: "os:system"}\nparameters:\n  wwr: {<<: *x, values: [1]}\n', "parameters.wwr.call, line 8"),
        (
            'parameters:\n  glazing:\n    options:\n      call: []\n      b: [{call: "os:system", value: 1}]\n',
            "parameters.glazing.options.b.0.call, line 10",
        ),
        ("parameters: {a: {call: [os, system], values: [1]}}\n", "parameters.a.call, line 6"),
        ("engine: energyplus\n", "engine, line 6"),
        ("engine: .\n", "engine, line 6"),
    ],
    ids=["call", "merged", "option", "no_text", "program", "folder"],
)
def test_a_file_that_would_run_code_is_refused_with_its_line(folder: Path, text: str, where: str) -> None:
    (folder / "study.yaml").write_text(HEAD + text)
    (told,) = [told for told in problems_of(folder / "study.yaml") if "--allow-python" in told]
    assert "runs code: look at it, then give --allow-python (in Python: allow_python=True)" in told
    assert told.endswith(f" @ {where}")
    assert ("--engine PATH" in told) == text.startswith("engine")


@pytest.mark.parametrize("words", [["plan"], ["run"], ["reproduce", "0123", "--to", "again", "--study"]], ids=" ".join)
@pytest.mark.parametrize("text", [CALL, "engine: energyplus\n"], ids=["call", "engine"])
def test_every_command_that_would_run_it_refuses(
    folder: Path, text: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("study.yaml").write_text(HEAD + text)
    done = CliRunner().invoke(app, [*words, "study.yaml", "--store", "store"])
    assert isinstance(done.exception, StudyError)
    assert "--allow-python" in str(done.exception)
    assert not Path("store").exists()


def test_all_problems_are_told_with_it(folder: Path) -> None:
    (folder / "study.yaml").write_text(HEAD.replace("design_day", "desing_day") + "engine: energyplus\n" + CALL)
    assert [told.rpartition("@ ")[2] for told in problems_of(folder / "study.yaml")] == [
        "run, line 4", "engine, line 6", "parameters.wwr.call, line 8"
    ]  # fmt: skip


def test_it_runs_if_it_is_allowed(folder: Path, tmp_path: Path) -> None:
    (folder / "study.yaml").write_text(HEAD + CALL)
    plan = bs.plan(
        bs.Study.from_yaml(folder / "study.yaml", allow_python=True), store=tmp_path / "store", engine=FakeEngine()
    )
    assert len(plan.to_run) == 2
    (tmp_path / "ran").rmdir()
    words = ["plan", str(folder / "study.yaml"), "--allow-python", "--store", str(tmp_path / "store")]
    assert CliRunner().invoke(app, words).exception is None
    (tmp_path / "ran").rmdir()


def test_another_engine_takes_the_place_of_the_files_own(folder: Path, tmp_path: Path) -> None:
    file = folder / "study.yaml"
    file.write_text(HEAD + "engine: energyplus\n")
    study = bs.Study.from_yaml(file, engine=tmp_path / "other")
    assert (study.engine, study.engine_path) == (None, str(tmp_path / "other"))
    assert "stranger/energyplus" in str(bs.Study.from_yaml(file, allow_python=True).engine_path)
    done = CliRunner().invoke(app, ["plan", str(file), "--engine", str(tmp_path / "other")])
    assert "no EnergyPlus at" in str(done.exception)


def test_what_only_reads_a_study_file_imports_nothing_and_refuses_nothing(folder: Path, tmp_path: Path) -> None:
    run_study(small_study(name="stranger"), tmp_path / "store", FakeEngine())
    (folder / "study.yaml").write_text(HEAD + "engine: energyplus\n" + CALL)
    for words in (
        ["status"],
        ["errors"],
        ["export", "--to", str(tmp_path / "out.csv")],
        ["fetch", "--to", str(tmp_path / "raw")],
    ):
        done = CliRunner().invoke(
            app, [words[0], str(folder / "study.yaml"), *words[1:], "--store", str(tmp_path / "store")]
        )
        assert done.exception is None, done.output


@pytest.mark.parametrize(
    "text",
    [
        'keep: !!python/object/apply:os.mkdir ["{ran}"]',
        'keep: !!python/object/new:os.mkdir ["{ran}"]',
        'keep: !<tag:yaml.org,2002:python/name:os.mkdir> "{ran}"',
        """exclude: ["__import__('os').mkdir('{ran}')"]""",
        """exclude: ["[c for c in ().__class__.__base__.__subclasses__()] == 1"]""",
        """exclude: ["(lambda: 1)() == 1"]""",
        """parameters: {{a: {{object: Lights, field: x, values: "__import__('os').mkdir('{ran}')"}}}}""",
        """parameters: {{a: {{object: Lights, field: x, values: "f'{{weather.__class__}}'"}}}}""",
    ],
    ids=["apply", "new", "name", "import", "classes", "lambda", "computed", "format"],
)
def test_tags_and_expressions_run_nothing(folder: Path, tmp_path: Path, text: str) -> None:
    (folder / "study.yaml").write_text(HEAD + text.format(ran=tmp_path / "ran") + "\n")
    with pytest.raises(StudyError):
        bs.plan(bs.Study.from_yaml(folder / "study.yaml"), store=tmp_path / "store", engine=FakeEngine())


@pytest.mark.parametrize("protocol", ["reference", "filecache", "simplecache", "blockcache", "dask", "tar", "generic"])
def test_filesystems_that_open_others_by_their_options_are_refused(
    folder: Path, tmp_path: Path, evil: bytes, protocol: str
) -> None:
    (folder / "cache").write_bytes(evil)
    options = f"{{target_protocol: file, cache_storage: '{folder}', fo: '{folder}/cache'}}"
    text = HEAD.replace("bundled:ref/small_office", f"{protocol}://{folder}/office.idf")
    (folder / "study.yaml").write_text(f"{text}storage_options: {{{protocol}: {options}}}\n")
    with pytest.raises(StudyError, match=f"{protocol}:// stands for another place"):
        bs.plan(bs.Study.from_yaml(folder / "study.yaml"), store=tmp_path / "store", engine=FakeEngine())
    with pytest.raises(bs.BemsweepError, match="stands for another place"):
        bs.open_results(f"{protocol}://{folder}", "x", storage_options={"fo": str(folder / "cache")})


@pytest.mark.parametrize("place", ["baseline", "snippet"])
def test_plugins_of_models_are_refused(folder: Path, tmp_path: Path, place: str) -> None:
    plugin = "PythonPlugin:Instance,\n  P, Yes, stranger_edits, edit;\nPythonPlugin:SearchPaths, S, Yes, Yes, No, .;\n"
    (folder / "plugin.idf").write_text(plugin if place == "snippet" else f"Version, 25.2;\n{plugin}")
    model = "plugin.idf" if place == "baseline" else "bundled:ref/small_office"
    parameter = "parameters: {a: {insert: [plugin.idf]}}\n" if place == "snippet" else ""
    (folder / "study.yaml").write_text(HEAD.replace("bundled:ref/small_office", model) + parameter)
    with pytest.raises(StudyError, match="PythonPlugin"):
        bs.plan(bs.Study.from_yaml(folder / "study.yaml"), store=tmp_path / "store", engine=FakeEngine())


@pytest.mark.engine
def test_modules_in_the_folder_where_a_study_is_run_are_not_imported(folder: Path, tmp_path: Path) -> None:
    """One for each of Python's own and of what bemsweep imports, beside the study file, and there the command runs."""
    names = {*sys.stdlib_module_names, "numpy", "pandas", "idfkit", "xarray", "zarr", "distributed", "dask", "rich"}
    names |= {
        "pyenergyplus",
        "pyarrow",
        "fsspec",
        "sitecustomize",
        "usercustomize",
        "bemsweep",
        "cloudpickle",
        "tornado",
    }
    for name in names:
        (folder / f"{name}.py").write_text(f"import posix\nposix.mkdir({str(tmp_path / 'ran')!r})\n")
    (folder / "study.yaml").write_text(HEAD)
    done = subprocess.run(
        # What the script `bemsweep` does: its own folder, not the one where it is run, is where Python looks.
        [sys.executable, "-P", "-m", "bemsweep", "run", "study.yaml", "--limit", "1", "--store", f"{tmp_path}/store"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# A store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with the study ``few`` of two variants."""
    run_study(small_study(name="few", parameters=FEW), tmp_path / "store", FakeEngine())
    return Store(tmp_path / "store")


def test_an_engine_in_the_definition_of_a_stored_study_is_not_started(store: Store, folder: Path) -> None:
    definition = json.loads(store.get("studies/few/study.json") or b"")
    definition["engine"] = definition["amendments"][-1]["definition"]["engine"] = str(folder / "energyplus")
    store.put("studies/few/study.json", json.dumps(definition).encode())
    (record, *_) = [one.name for one in store.objects("records")]
    list_studies(store)
    status(store, "few")
    with suppress(bs.BemsweepError):  # that its definition is altered
        bs.run(bs.plan(small_study(name="few", parameters=FEW), store=store, engine=FakeEngine()))
    with suppress(bs.BemsweepError):  # that the engine of these tests wrote no model
        reproduce(store, Path(record).stem, to=folder / "again")


@pytest.mark.parametrize("form", ["2 compressor", "2 filter", "2 object", "3 codec", "3 numcodecs", "3 consolidated 2"])
def test_pickles_in_a_cube_are_not_read(
    form: str, tmp_path: Path, evil: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)  # as older ones are
    cube = Store(tmp_path / "store")
    old: dict[str, Any] = {"zarr_format": 2, "node_type": "array", "shape": [1], "chunks": [1], "dtype": "<f8"}
    old |= {"compressor": None, "filters": None, "fill_value": None, "order": "C"}
    old |= {"attributes": {"_ARRAY_DIMENSIONS": ["variant"]}}
    if form == "2 filter":
        old["filters"] = [{"id": "pickle"}]
    elif form == "2 object":
        old |= {"dtype": "|O", "filters": [{"id": "pickle"}]}
    else:
        old["compressor"] = {"id": "pickle"}
    new: dict[str, Any] = {"zarr_format": 3, "node_type": "array", "shape": [1], "data_type": "float64"}
    new |= {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}}, "fill_value": 0}
    new |= {"chunk_key_encoding": {"name": "default"}, "attributes": {}, "dimension_names": ["variant"]}
    name = "pickle" if form == "3 codec" else "numcodecs.pickle"
    new |= {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": name, "configuration": {}}]}
    array = new if form in ("3 codec", "3 numcodecs") else old
    group = {"zarr_format": int(form[0]), "node_type": "group", "attributes": {}}
    if form.startswith("3"):
        group["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": {"status": array}}
    for path, data in {
        "zarr.json" if form.startswith("3") else ".zgroup": group,
        ".zattrs": {},
        "status/zarr.json" if form.startswith("3") else "status/.zarray": array,
        "status/.zattrs": {"_ARRAY_DIMENSIONS": ["variant"]},
        "monthly/.zgroup": {"zarr_format": 2},
    }.items():
        cube.put(f"studies/few/results.zarr/{path}", json.dumps(data).encode())
    for chunk in ("status/0", "status/c/0"):
        cube.put(f"studies/few/results.zarr/{chunk}", evil)
    with pytest.raises((bs.BemsweepError, ValueError, OSError)):
        bs.open_results(cube, "few").to_dataset().load()


def test_extension_types_in_parquet_are_not_unpickled(store: Store, evil: bytes) -> None:
    """What pyarrow before 14.0.1 unpickled when it read a schema."""
    metadata = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": evil}
    for name in [one.name for one in store.objects("studies/few/variants")] + [
        one.name for one in store.objects("records")
    ]:
        table = pq.read_table(pa.BufferReader(store.get(name)))
        fields = [field.with_metadata(metadata) for field in table.schema]
        sink = pa.BufferOutputStream()
        pq.write_table(table.cast(pa.schema(fields, metadata=table.schema.metadata)), sink)
        store.put(name, sink.getvalue().to_pybytes())
        if name.startswith("records"):
            with suppress(bs.BemsweepError):
                from_bytes(store.get(name) or b"")
    with suppress(bs.BemsweepError):
        StudyState.load(store, "few")
    with suppress(bs.BemsweepError):
        bs.run(bs.plan(small_study(name="few", parameters=FEW), store=store, engine=FakeEngine()))


def test_the_name_of_a_record_brings_no_code_into_the_script(store: Store, tmp_path: Path) -> None:
    name = store.names(f"records/{(ids := StudyState.load(store, 'few').variant_ids)[0][:2]}")[0]
    record = from_bytes(store.get(f"records/{name[:2]}/{name}") or b"")
    evil = f"{ids[0][:8]}\nimport os; os.mkdir({'ran'!r})\n#"
    (Path(store.path()) / "records" / ids[0][:2] / f"{evil}.parquet").write_bytes(
        to_bytes(dataclasses.replace(record, variant_id=evil))
    )
    store.delete(f"records/{name[:2]}/{name}")
    with pytest.raises(bs.BemsweepError, match="none does"):
        reproduce(store, ids[0][:8], to=tmp_path / "again")


# Names that lead elsewhere


def test_what_is_copied_from_a_store_stays_in_the_other(store: Store, tmp_path: Path) -> None:
    """Object stores have names with dots, which lead out of a folder."""
    source = Store(f"memory://{tmp_path.name}")
    sync(store, source)
    for name in (
        "inputs/../../../ran",
        "ran/../../ran",
        "studies/../../ran/x",
        "studies/few/../../../ran",
        "raw/../../ran",
    ):
        source.fs.pipe_file(f"{source.path()}/{name}", b"")
    target = Store(tmp_path / "a" / "b")
    sync(source, target)
    assert {one.name for one in target.objects()} == {one.name for one in store.objects()}
    assert {path.name for path in tmp_path.iterdir()} == {"store", "a"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_variant_called_like_a_folder_writes_nowhere(store: Store, tmp_path: Path) -> None:
    """Whoever can write to a store can write its variant table, whose ids name folders and objects."""
    ids = zarr.open_array(str(Path(store.path()) / "studies/few/results.zarr/variant_id"))
    ids[:1] = [".."]
    with pytest.raises(bs.BemsweepError, match="no variant_id"):
        fetch(store, "few", to=tmp_path / "raw" / "here")
    part = "studies/few/variants/000000.parquet"
    table = pq.read_table(pa.BufferReader(store.get(part)))
    table = table.set_column(1, "variant_id", pa.array(["../../../x", table["variant_id"][1].as_py()]))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    store.put(part, sink.getvalue().to_pybytes())
    with pytest.raises(bs.BemsweepError, match=r"variants.* is altered|variants.* altered"):
        find_unused(store)


def test_deleting_a_study_follows_no_link(store: Store, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in ("zarr.json", "study.json", "precious"):
        (own / name).write_text("mine")
    cube = Path(store.path()) / "studies" / "few"
    (cube / "results.zarr").rename(tmp_path / "moved")
    (cube / "results.zarr").symlink_to(own)
    (cube / "linked").symlink_to(own / "precious")
    delete_study(store, find_deletion(store, "few", records=True))
    assert sorted(path.name for path in own.iterdir()) == ["precious", "study.json", "zarr.json"]
    assert not cube.exists()


@pytest.mark.parametrize("name", ["inputs/../../x", "..", "records/./x", "a/\0"])
def test_no_name_leads_out_of_a_store(name: str, tmp_path: Path) -> None:
    for store in (Store(tmp_path / "store"), Store("memory://inside")):
        for act in (store.get, store.delete, store.names, store.has, lambda name, to=store: to.put(name, b"")):
            with pytest.raises(bs.BemsweepError, match="would lead out of it"):
                act(name)
