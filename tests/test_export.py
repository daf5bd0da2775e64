from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import h5netcdf.legacyapi as netcdf
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore

from bemsweep import export, table_shapes
from bemsweep.cube import Cube
from bemsweep.errors import BemsweepError
from bemsweep.layout import Layout
from bemsweep.records import Series
from cube_study import DESIGN_DAYS, PARAMETERS, TEN_DAYS, table, whole_cube

ROWS = 3
PENDING = 2


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three variants of ten days: hourly temperatures of two zones, monthly electricity; the last one failed."""
    folder = tmp_path_factory.mktemp("cube")
    whole_cube(LocalStore(folder / "results.zarr"), TEN_DAYS, ROWS)
    tree = xr.open_datatree(folder / "results.zarr", engine="zarr", chunks=None)
    for group in ("hourly", "monthly"):
        dataset = tree[group].to_dataset(inherit=False).load()
        dataset.status[PENDING] = "failed"
        for array in dataset.data_vars.values():
            array[PENDING] = np.nan
        tree[group] = xr.DataTree(dataset)
    return tree


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """The same for two design days."""
    folder = tmp_path_factory.mktemp("days")
    whole_cube(LocalStore(folder / "results.zarr"), DESIGN_DAYS, ROWS)
    return xr.open_datatree(folder / "results.zarr", engine="zarr", chunks=None)


@pytest.fixture(scope="module")
def scalars(tree):
    """A group `annual` with a series, a number and a text of each variant, and values by fuel and end use."""
    monthly = tree["monthly"].to_dataset(inherit=False)
    dataset = monthly[["electricity"]].isel(time=[0]).copy()
    dataset["area"] = ("variant", [511.0, 511.5, np.nan], {"units": "m2"})
    dataset["peak_of"] = ("variant", np.array(["Core", "", "South"], dtype=object), {})
    dataset["end_use"] = (("variant", "fuel", "use"), np.arange(12.0).reshape(3, 2, 2), {"units": "J"})
    dataset = dataset.assign_coords(fuel=["gas", "electricity"], use=["heating", "cooling"])
    return xr.DataTree.from_dict({"/": tree.to_dataset(inherit=False), "/annual": dataset})


def as_bits(values):
    """Return numbers so that comparing tells -0.0 from 0.0, but takes any NaN for the same."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.isnan(values), 0x7FF8 << 48, values.view(np.int64))


def read_table(path):
    """Read a file as users do."""
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={"variant_id": str})


WRITERS = [pytest.param(export.to_parquet, ".parquet", id="parquet"), pytest.param(export.to_csv, ".csv", id="csv")]


# netCDF


def test_netcdf_holds_every_value_coordinate_and_attribute(tree, tmp_path):
    (path,) = export.to_netcdf(tree, tmp_path / "all.nc")
    with xr.open_datatree(path, engine="h5netcdf") as read:
        assert set(read.children) == {"hourly", "monthly"}
        for group in ("hourly", "monthly"):
            written, original = (one[group].to_dataset(inherit=False).load() for one in (read, tree))
            xr.testing.assert_identical(written, original)
            for name in original.data_vars:
                np.testing.assert_array_equal(as_bits(written[name]), as_bits(original[name]))
        root = tree.to_dataset(inherit=False)
        xr.testing.assert_equal(read.to_dataset(inherit=False), root)
        assert {**read.attrs, "bemsweep": root.attrs["bemsweep"]} == root.attrs, "but for what packing alone needs"
        assert "bemsweep" not in read.attrs


def test_netcdf_is_read_by_others_with_units_bounds_and_labels(tree, tmp_path):
    (path,) = export.to_netcdf(tree, tmp_path / "all.nc")
    with netcdf.Dataset(path, "r") as file:
        group = file.groups["hourly"]
        assert file.Conventions == group.Conventions == "CF-1.11"
        temperature = group.variables["temperature"]
        assert temperature.dimensions == ("variant", "zone", "time")
        assert temperature.units == "degC"
        assert temperature.cell_methods == "time: mean"
        assert {"lighting", "glazing", "status"} <= set(temperature.coordinates.split())
        assert list(group.variables["zone"][:]) == ["South", "Core"]
        assert list(group.variables["glazing"][:]) == ["", "glass 1", "glass 2"]
        time, bounds = group.variables["time"], group.variables[group.variables["time"].bounds]
        assert time.units == "minutes since 1970-01-01"
        assert time.standard_name == "time"
        np.testing.assert_array_equal(bounds[:, 0], time[:])
        np.testing.assert_array_equal(bounds[:, 1] - bounds[:, 0], 60)
        assert group.variables["temperature"].chunking() != "contiguous"


def test_one_group_stands_at_the_root_of_its_file(tree, tmp_path):
    (path,) = export.to_netcdf(tree, tmp_path / "h.nc", group="hourly", variables=["temperature"])
    with xr.open_dataset(path, engine="h5netcdf") as read:
        xr.testing.assert_identical(read.load(), tree["hourly"].to_dataset(inherit=False)[["temperature"]].load())


def test_netcdf_of_design_days_and_of_what_has_no_time(days, scalars, tmp_path):
    (path,) = export.to_netcdf(days, tmp_path / "days.nc")
    with xr.open_datatree(path, engine="h5netcdf") as read:
        written, original = (one["hourly"].to_dataset(inherit=False).load() for one in (read, days))
        # In CF bounds have the unit of what they bound; xarray reads these as plain minutes.
        minutes = original.time_bounds / np.timedelta64(1, "m")
        np.testing.assert_array_equal(written.time_bounds, minutes)
        xr.testing.assert_identical(written.drop_vars("time_bounds"), original.drop_vars("time_bounds"))
    (path,) = export.to_netcdf(scalars, tmp_path / "scalars.nc", group="annual")
    with xr.open_dataset(path, engine="h5netcdf") as read:
        xr.testing.assert_equal(read.load(), scalars["annual"].to_dataset(inherit=False).load())


def test_netcdf_without_h5netcdf_says_what_to_install(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BemsweepError, match=r"pip install 'bemsweep\[netcdf\]'"):
        export.to_netcdf(tree, tmp_path / "all.nc")
    assert not list(tmp_path.iterdir())


# Tables


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_a_wide_table_has_a_column_per_variable_and_key(tree, tmp_path, write, suffix):
    files = write(tree, tmp_path / "out")
    assert files == [tmp_path / "out" / f"{name}{suffix}" for name in ("hourly", "monthly", "variants")]
    frame = read_table(files[0])
    names = ["South:temperature [degC]", "Core:temperature [degC]"]
    assert list(frame.columns) == ["variant", "lighting", "glazing", "status", "time", *names]
    hourly = tree["hourly"].to_dataset(inherit=False)
    assert list(frame.variant) == [row for row in range(ROWS) for _ in range(240)]
    assert list(pd.to_datetime(frame.time)) == list(hourly.time.to_index()) * ROWS
    for zone, name in zip(("South", "Core"), names, strict=True):
        expected = hourly.temperature.sel(zone=zone).to_numpy().reshape(-1)
        np.testing.assert_array_equal(as_bits(frame[name]), as_bits(expected))
    assert set(frame.status[frame.variant == PENDING]) == {"failed"}
    assert frame[frame.variant == PENDING][names].isna().all(axis=None)
    if suffix == ".parquet":
        assert pq.read_table(files[0]).column(names[0]).null_count == 240, "missing, and not a number that is none"
    else:
        assert "nan" not in files[0].read_text()
    assert frame.glazing[frame.variant == 0].isna().all(), "null is a missing value"
    assert set(frame.glazing[frame.variant == 1]) == {"glass 1"}
    assert list(read_table(files[1]).columns)[-1] == "electricity [J]"


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_a_long_table_has_a_row_per_value(tree, tmp_path, write, suffix):
    (path,) = write(tree, tmp_path / f"hourly{suffix}", group="hourly", shape="long")
    frame = read_table(path)
    assert list(frame.columns) == [
        "variant", "lighting", "glazing", "status", "variable", "units", "zone", "time", "value"
    ]  # fmt: skip
    temperature = tree["hourly"].temperature
    np.testing.assert_array_equal(as_bits(frame.value), as_bits(temperature.to_numpy().reshape(-1)))
    assert list(frame.zone) == (["South"] * 240 + ["Core"] * 240) * ROWS
    assert set(frame.variable) == {"temperature"}
    assert set(frame.units) == {"degC"}
    assert frame.groupby("variant").lighting.first().tolist()[1:] == [1.0, 2.0]


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_the_table_of_variants_stands_beside(tree, tmp_path, write, suffix):
    *_, path = write(tree, tmp_path / "out")
    frame, root = read_table(path), tree.to_dataset(inherit=False)
    assert list(frame.columns[:6]) == ["variant", "lighting", "glazing", "variant_id", "status", "message"]
    assert list(frame.variant_id) == list(root.variant_id.values)
    np.testing.assert_array_equal(frame.memory_bytes, root.memory_bytes)


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_tables_of_design_days(days, tmp_path, write, suffix):
    hourly = days["hourly"].to_dataset(inherit=False)
    (wide,) = write(days, tmp_path / f"wide{suffix}", group="hourly")
    frame = read_table(wide)
    place = ["design_day", "design_day_name", "design_day_date", "time"]
    assert list(frame.columns) == [
        "variant", "lighting", "glazing", "status", *place, "South:temperature [degC]", "Core:temperature [degC]"
    ]  # fmt: skip
    expected = hourly.temperature.sel(zone="Core").to_numpy().reshape(-1)
    np.testing.assert_array_equal(as_bits(frame["Core:temperature [degC]"]), as_bits(expected))
    assert list(frame.design_day_name[20:30]) == ["cold é"] * 4 + ["hot"] * 6
    assert [str(time) for time in frame.time[23:26]] == ["23:00:00", "00:00:00", "01:00:00"]
    (long,) = write(days, tmp_path / f"long{suffix}", group="hourly", shape="long")
    frame = read_table(long)
    assert list(frame.columns[-6:]) == ["zone", *place, "value"]
    np.testing.assert_array_equal(as_bits(frame.value), as_bits(hourly.temperature.to_numpy().reshape(-1)))


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_what_has_no_time_is_told_of_every_variant(scalars, tmp_path, write, suffix):
    annual = scalars["annual"].to_dataset(inherit=False)
    (wide,) = write(scalars, tmp_path / f"wide{suffix}", group="annual")
    frame = read_table(wide)
    uses = [f"{fuel}:{use}:end_use [J]" for fuel in ("gas", "electricity") for use in ("heating", "cooling")]
    assert list(frame.columns[4:]) == ["time", "electricity [J]", "area [m2]", "peak_of", *uses]
    assert len(frame) == ROWS
    np.testing.assert_array_equal(as_bits(frame["area [m2]"]), as_bits(annual.area))
    np.testing.assert_array_equal(frame[uses].to_numpy(), annual.end_use.to_numpy().reshape(ROWS, 4))
    assert frame.peak_of.tolist()[0::2] == ["Core", "South"]
    (alone,) = write(scalars, tmp_path / f"alone{suffix}", group="annual", variables=["area"])
    assert "time" not in read_table(alone).columns
    (long,) = write(scalars, tmp_path / f"long{suffix}", group="annual", shape="long")
    frame = read_table(long)
    assert list(frame.columns[4:]) == ["variable", "units", "fuel", "use", "time", "value", "text"]
    assert frame.variable.value_counts().to_dict() == {"end_use": 12, "electricity": 3, "area": 3, "peak_of": 3}
    assert frame[frame.variable == "area"].time.isna().all()
    assert frame[frame.variable == "electricity"].time.notna().all()
    assert frame[frame.variable == "peak_of"].text.tolist()[0] == "Core"
    assert frame[frame.variable == "end_use"].value.tolist() == list(range(12))


def test_single_numbers_of_design_days_are_told_once(tmp_path):
    cell = Series("load", "annual", "", "", "HVACSizingSummary", "W", "scalar", np.array([12.5]))
    layout = Layout(DESIGN_DAYS).grow([cell]).grow_parameters(PARAMETERS)
    cube = Cube.create(LocalStore(tmp_path / "results.zarr"), layout, attributes={})
    cube.resize(ROWS)
    cube.commit(table(ROWS), {})
    tree = xr.open_datatree(tmp_path / "results.zarr", engine="zarr", chunks=None)
    assert set(tree["annual"].data_vars) == {"load"}
    (path,) = export.to_csv(tree, tmp_path / "annual.csv", group="annual")
    assert len(read_table(path)) == ROWS


def test_units_and_the_engine_are_told_in_parquet(tree, tmp_path):
    (path,) = export.to_parquet(tree, tmp_path / "m.parquet", group="monthly")
    schema = pq.read_schema(path)
    assert schema.field("electricity [J]").metadata[b"long_name"] == b"Electricity:Facility"
    assert schema.field("electricity [J]").metadata[b"cell_methods"] == b"time: sum"
    assert schema.metadata[b"study"] == b"a-study"


def test_float32_stays_float32(tmp_path):
    whole_cube(LocalStore(tmp_path / "results.zarr"), TEN_DAYS, 2, dtype="float32")
    tree = xr.open_datatree(tmp_path / "results.zarr", engine="zarr", chunks=None)
    for shape in ("wide", "long"):
        (path,) = export.to_parquet(tree, tmp_path / f"{shape}.parquet", group="monthly", shape=shape)
        values = pd.read_parquet(path).iloc[:, -1]
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, tree["monthly"].electricity.to_numpy().reshape(-1))


@pytest.mark.parametrize("shape", ["wide", "long"])
def test_pieces_make_the_same_table(tree, tmp_path, monkeypatch, shape):
    whole = export.to_parquet(tree, tmp_path / "whole", shape=shape)
    monkeypatch.setattr(table_shapes, "_TILE_BYTES", 1)
    monkeypatch.setattr(table_shapes, "_BATCH_CELLS", 700)
    parts = export.to_parquet(tree, tmp_path / "parts", shape=shape)
    assert pq.ParquetFile(parts[0]).num_row_groups > 2 * ROWS
    for one, other in zip(whole, parts, strict=True):
        pd.testing.assert_frame_equal(pd.read_parquet(one), pd.read_parquet(other), check_exact=True)
    (netcdf_file,) = export.to_netcdf(tree, tmp_path / "parts.nc", group="hourly")
    with xr.open_dataset(netcdf_file, engine="h5netcdf") as read:
        xr.testing.assert_identical(read.load(), tree["hourly"].to_dataset(inherit=False).load())


# Destinations, and what is refused


@pytest.mark.parametrize(
    ("write", "name"),
    [(export.to_netcdf, "a.nc"), (export.to_parquet, "a.parquet"), (export.to_csv, "a.csv")],
    ids=["netcdf", "parquet", "csv"],
)
def test_a_file_that_exists_is_kept_unless_told_otherwise(tree, tmp_path, write, name):
    path = tmp_path / name
    path.write_text("precious")
    with pytest.raises(BemsweepError, match=r"exists: overwrite it \(--overwrite\)"):
        write(tree, path, group="monthly")
    assert path.read_text() == "precious"
    write(tree, path, group="monthly", overwrite=True)
    assert path.stat().st_size > 100
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_folder_keeps_what_else_is_in_it(tree, tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    export.to_csv(tree, tmp_path)
    with pytest.raises(BemsweepError, match=r"hourly.csv exists"):
        export.to_csv(tree, tmp_path)
    export.to_csv(tree, tmp_path, overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "hourly.csv", "monthly.csv", "notes.txt", "variants.csv"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "name"),
    [(export.to_netcdf, "a.nc"), (export.to_parquet, "a.parquet"), (export.to_csv, "a.csv")],
    ids=["netcdf", "parquet", "csv"],
)
def test_an_export_that_breaks_leaves_nothing(tree, tmp_path, monkeypatch, write, name):
    def break_down(*_, **__):
        raise OSError("scripted")

    path = tmp_path / name
    path.write_text("precious")
    monkeypatch.setattr(Path, "replace", break_down)
    with pytest.raises(OSError, match="scripted"):
        write(tree, path, group="monthly", overwrite=True)
    assert path.read_text() == "precious"
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"group": "hurly"}, r"no group 'hurly' \(did you mean 'hourly'\?\): the study has hourly, monthly"),
        ({"variables": ["temprature"]}, r"no variable 'temprature' \(did you mean 'temperature'\?\): there are "),
        ({"shape": "lnog"}, r"no shape 'lnog' \(did you mean 'long'\?\)"),
        (
            {"path": "all.csv"},
            r"one file, but there are the groups hourly, monthly: choose one group, or name a folder",
        ),
        ({"path": "s3://bucket/x"}, r"files of this machine, not s3://bucket/x"),
        ({"path": "folder.csv", "group": "hourly"}, r"folder.csv is a folder"),
        ({"path": "a.parquet"}, r"a.parquet is named as .parquet but would hold .csv: name a file ending in .csv"),
        ({"path": "notes"}, r"notes is a file, so nothing can be written into it"),
        ({"path": "notes/a.csv", "group": "hourly"}, r"notes is a file, so nothing can be written into it"),
    ],
    ids=["group", "variable", "shape", "one file", "url", "folder", "other suffix", "file", "in a file"],
)
def test_what_means_nothing_is_told(tree, tmp_path, how, told):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "notes").write_text("precious")
    path = how.pop("path", "out")
    with pytest.raises(BemsweepError, match=told):
        export.to_csv(tree, path if "://" in path else tmp_path / path, **how)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder.csv", "notes"]


@pytest.mark.parametrize("write", [export.to_netcdf, export.to_parquet, export.to_csv])
def test_a_group_by_itself_is_refused(tree, tmp_path, write):
    for given in (tree["hourly"], tree["hourly"].to_dataset()):
        with pytest.raises(BemsweepError, match="pass the tree that open_results returns"):
            write(given, tmp_path / "out")


def test_netcdf_is_not_written_under_the_name_of_a_table(tree, tmp_path):
    with pytest.raises(BemsweepError, match=r"x.csv is named as .csv but would hold netCDF"):
        export.to_netcdf(tree, tmp_path / "x.csv")


def test_variables_are_chosen_in_every_group(tree, tmp_path):
    files = export.to_csv(tree, tmp_path / "out", variables=["electricity"])
    assert [path.stem for path in files] == ["monthly", "variants"]


def test_two_columns_of_one_name_are_refused(tree, tmp_path):
    clashing = tree["monthly"].to_dataset(inherit=False).rename(lighting="value")
    with pytest.raises(BemsweepError, match="two columns of monthly would be called 'value'"):
        export.to_csv(xr.DataTree.from_dict({"/monthly": clashing}), tmp_path / "a.csv", group="monthly", shape="long")


# Memory

_EXPORT = """
    import sys
    import xarray as xr
    from bemsweep import export
    from bemsweep.memory import peak_bytes

    tree = xr.open_datatree(sys.argv[1], engine="zarr", chunks=None)
    export.to_parquet(tree.isel(variant=[0]), sys.argv[2] + ".one.parquet", group="hourly")  # imports what there is
    export.to_netcdf(tree.isel(variant=[0]), sys.argv[2] + ".one.nc")
    before = peak_bytes()
    if sys.argv[3] == "netcdf":
        export.to_netcdf(tree, sys.argv[2])
    else:
        export.to_parquet(tree, sys.argv[2], group="hourly", shape=sys.argv[3])
    print(peak_bytes() - before)
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A cube of 420 MB: 100 variants, 60 zones, a year of hours."""
    path = tmp_path_factory.mktemp("big") / "results.zarr"
    array = zarr.open_group(path).create_array(
        "hourly/temperature", shape=(100, 60, 8760), chunks=(16, 1, 8760), dtype="float64",
        dimension_names=("variant", "zone", "time"),
    )  # fmt: skip
    year = np.linspace(0, 1, 60 * 8760).reshape(60, 8760)
    for row in range(0, 100, 16):
        array[row : row + 16] = np.broadcast_to(year + row, (min(16, 100 - row), 60, 8760))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(path)
    return path


@pytest.mark.parametrize("how", ["netcdf", "wide", "long"])
def test_memory_does_not_grow_with_the_study(big, tmp_path, how):
    target = tmp_path / ("big.nc" if how == "netcdf" else "big.parquet")
    words = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(_EXPORT), str(big), str(target), how]
    told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) < 210_000_000, "half of what the study holds"
