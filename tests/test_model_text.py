"""Writing a model: the text of what has not changed is taken as it was, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from idfkit import IDFDocument
from idfkit.writers import write_idf
from pyenergyplus.dataset import ashrae_models, ref_models

from bemsweep import model_text
from bemsweep.errors import ModelError
from bemsweep.model_file import read_model
from bemsweep.model_text import ParsedModel, write_model

OFFICE = Path(ref_models["small_office"])


def nothing(document: IDFDocument[bool]) -> None:
    """Leave it."""


def set_a_field(document: IDFDocument[bool]) -> None:
    next(iter(document["Building"])).north_axis = 30.0


def reach_into_the_data(document: IDFDocument[bool]) -> None:
    next(iter(document["Building"])).data["north_axis"] = 31.0


def make_a_number_whole(document: IDFDocument[bool]) -> None:
    building = next(iter(document["Building"]))
    assert building.data["north_axis"] == 0
    building.data["north_axis"] = 0 if isinstance(building.data["north_axis"], float) else 0.0


def move_a_corner(document: IDFDocument[bool]) -> None:
    surface = next(iter(document["BuildingSurface:Detailed"]))
    surface.data["vertices"][0]["vertex_x_coordinate"] = 1.25


def rename(document: IDFDocument[bool]) -> None:
    document.rename("Zone", next(iter(document["Zone"])).name, "Another")


def remove_and_add(document: IDFDocument[bool]) -> None:
    for lights in list(document["Lights"]):
        document.removeidfobject(lights)
    document.add("Lights", "New lights", zone_or_zonelist_or_space_or_spacelist_name="Core_ZN", schedule_name="x")


def put_what_has_no_bytes(document: IDFDocument[bool]) -> None:
    class Number(float):
        pass

    next(iter(document["Building"])).data["north_axis"] = Number(12.5)


@pytest.mark.parametrize(
    "change",
    [
        nothing, set_a_field, reach_into_the_data, make_a_number_whole, move_a_corner, rename, remove_and_add,
        put_what_has_no_bytes,
    ],
)  # fmt: skip
def test_the_text_is_the_same_as_if_all_were_formatted(tmp_path: Path, change: Callable[[Any], None]) -> None:
    baseline = ParsedModel.of(read_model(OFFICE))
    change(baseline.document)
    digest = write_model(baseline.document, tmp_path / "quick.idf", baseline=baseline)
    assert write_model(baseline.document, tmp_path / "whole.idf") == digest
    text = (tmp_path / "quick.idf").read_text(encoding="utf-8")
    assert text == write_idf(baseline.document, ordering="source")
    untouched = write_idf(read_model(OFFICE), ordering="source")
    assert (text == untouched) == (change is nothing or (change is make_a_number_whole and text == untouched))


@pytest.mark.parametrize("model", [*ref_models.values(), *ashrae_models.values()][::5])
def test_nothing_is_formatted_twice(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    baseline = ParsedModel.of(read_model(Path(model)))
    expected = write_idf(baseline.document, ordering="source")
    formatted: list[object] = []

    def watched(self: object, obj: object, source_text: str | None = None) -> str:
        formatted.append(obj)
        return ""

    monkeypatch.setattr(model_text.IDFWriter, "format_object", watched)
    write_model(baseline.document, tmp_path / "in.idf", baseline=baseline)
    assert (tmp_path / "in.idf").read_text(encoding="utf-8") == expected
    assert formatted == []


def test_what_no_idf_can_hold_is_refused_wherever_it_came_from(tmp_path: Path) -> None:
    document = read_model(OFFICE)
    next(iter(document["Building"])).data["terrain"] = "Sub,urbs"
    before = ParsedModel.of(document)
    with pytest.raises(ModelError, match="cannot hold a comma"):
        write_model(document, tmp_path / "in.idf", baseline=before)
    document = read_model(OFFICE)
    after = ParsedModel.of(document)
    next(iter(document["Building"])).data["terrain"] = "Sub;urbs"
    with pytest.raises(ModelError, match="cannot hold a comma"):
        write_model(document, tmp_path / "in.idf", baseline=after)
