from __future__ import annotations

from pathlib import Path

import pytest
from idfkit.schema import get_schema
from pyenergyplus.dataset import ref_models

from bemsweep.editing import apply_edits
from bemsweep.edits import FieldEdit
from bemsweep.methods import METHODS, methods_of
from bemsweep.model import prepare_run, read_model, write_model
from bemsweep.outputs import Output
from direct_engine import run_energyplus, values

SCHEMA = get_schema((25, 2, 0))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.object}-{method.field}")
def test_every_name_of_the_table_is_one_of_energyplus(method):
    fields = set(SCHEMA.get_all_field_names(method.object))
    assert {method.field, *method.governed} <= fields
    choices = SCHEMA.get_field_schema(method.object, method.field)["enum"]
    assert set(method.uses) <= set(choices)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.object}-{method.field}")
def test_every_method_ignores_something_and_every_field_counts_somewhere(method):
    assert method.governed
    for field in method.governed:
        assert 0 < len(method.values_using(field)) < len(method.uses)


def test_a_method_stands_once_in_the_table():
    pairs = [(method.object, method.field) for method in METHODS]
    assert len(pairs) == len(set(pairs))


def test_choices_are_compared_without_regard_to_case():
    (method,) = methods_of("Lights", "lighting_level")
    assert method.fields_used("WATTS/AREA") == ("watts_per_floor_area",)
    assert method.fields_used("Candles") is None


def test_a_field_without_a_method_is_free():
    assert methods_of("Lights", "fraction_radiant") == ()
    assert methods_of("Zone", "volume") == ()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Return a function that runs the small office's design days with edits."""

    def simulate(*edits: FieldEdit) -> dict[tuple, float]:
        folder: Path = tmp_path_factory.mktemp("run")
        document = read_model(Path(ref_models["small_office"]))
        apply_edits(document, edits, {})
        names = ("Zone Mean Air Temperature", "Zone Mechanical Ventilation Mass Flow Rate")
        outputs = [Output("variable", name, "hourly", name) for name in names]
        prepare_run(document, "design_day", outputs)
        write_model(document, folder / "in.idf")
        assert "Completed Successfully" in run_energyplus(folder / "in.idf", folder)
        return values(folder)

    return simulate


@pytest.mark.engine
@pytest.mark.parametrize(
    ("object_type", "used", "ignored"),
    [
        ("Lights", "watts_per_floor_area", "watts_per_person"),
        ("People", "people_per_floor_area", "number_of_people"),
        ("ElectricEquipment", "watts_per_floor_area", "design_level"),
        ("DesignSpecification:OutdoorAir", "outdoor_air_flow_per_person", "outdoor_air_flow_per_zone"),
    ],
)
def test_the_engine_ignores_what_the_table_says(simulated, object_type, used, ignored):
    document = read_model(Path(ref_models["small_office"]))
    (method,) = methods_of(object_type, used)
    value = document[object_type][0].data.get(method.field) or SCHEMA.get_field_default(object_type, method.field)
    if used not in method.fields_used(value):
        used, ignored = method.fields_used(value)[0], used
    assert ignored not in method.fields_used(value)
    untouched = simulated()
    assert simulated(FieldEdit(object_type, ignored, "set", 0.031)) == untouched
    assert simulated(FieldEdit(object_type, used, "set", 0.031)) != untouched
