from __future__ import annotations

import time
from pathlib import Path

import pytest
from idfkit import new_document
from pyenergyplus.dataset import ref_models

from bemsweep.key_labels import KeyLabels
from bemsweep.model import read_model


@pytest.fixture
def model():
    document = new_document((25, 2, 0))
    for name in ("Büro Süd", "Core_ZN", "Shared"):
        document.add("Zone", name, validate=False)
    for name in ("Corner Desk", "Shared"):
        document.add("Space", name, validate=False)
    document.add("BuildingSurface:Detailed", "South Wall", validate=False)
    document.add("Schedule:Constant", "Always On", validate=False)
    document.add("Lights", "Task Lights", {"schedule_name": "Always On"}, validate=False)
    document.add("Fan:ConstantVolume", "Fan A", {"air_inlet_node_name": "Fan Inlet"}, validate=False)
    groups = [{"node_name": "Zone Inlet 1"}]
    document.add("NodeList", "Core_ZN Nodes", {"nodes": groups}, validate=False)
    return KeyLabels(document)


@pytest.mark.parametrize(
    ("variable", "key", "label", "kind"),
    [
        ("Zone Mean Air Temperature", "CORE_ZN", "Core_ZN", "zone"),
        ("Zone Mean Air Temperature", "BüRO SüD", "Büro Süd", "zone"),
        ("Zone Ideal Loads Supply Air Temperature", "FAN A", "Fan A", "other"),
        ("Enclosure Windows Total Transmitted Solar Radiation Rate", "CORE_ZN", "Core_ZN", "zone"),
        ("Zone Mean Air Temperature", "SHARED", "Shared", "zone"),
        ("Space Mean Air Temperature", "SHARED", "Shared", "space"),
        ("Space Mean Air Temperature", "CORNER DESK", "Corner Desk", "space"),
        ("Space Mean Air Temperature", "CORE_ZN", "Core_ZN", "space"),
        ("Space Mean Air Temperature", "CORE_ZN-REMAINDER", "Core_ZN-Remainder", "space"),
        ("Surface Inside Face Temperature", "SOUTH WALL", "South Wall", "surface"),
        ("Surface Outside Face Sunlit Area", "MIR-SOUTH WALL", "MIR-SOUTH WALL", "surface"),
        ("System Node Temperature", "FAN INLET", "Fan Inlet", "node"),
        ("System Node Temperature", "ZONE INLET 1", "Zone Inlet 1", "node"),
        ("Schedule Value", "ALWAYS ON", "Always On", "schedule"),
        ("Lights Electricity Rate", "TASK LIGHTS", "Task Lights", "other"),
        ("Lights Electricity Rate", "CORE_ZN TASK LIGHTS", "Core_ZN Task Lights", "other"),
        ("HVAC System Solver Iteration Count", "SIMHVAC", "SIMHVAC", "other"),
        ("Site Outdoor Air Drybulb Temperature", "Environment", "", ""),
    ],
)
def test_spelling_and_kind(model, variable, key, label, kind):
    assert model(variable, key) == (label, kind)


def test_the_labels_of_a_model_take_little_time():
    document = read_model(Path(ref_models["small_office"]))
    begin = time.perf_counter()
    labels = KeyLabels(document)
    assert labels("System Node Temperature", "NO SUCH NODE") == ("NO SUCH NODE", "node")
    assert time.perf_counter() - begin < 0.1
