from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
import xarray as xr

from bemsweep.plot_axes import label, readable_units, shortened
from bemsweep.units import udunits


@pytest.mark.parametrize(
    ("engine", "read"),
    [
        ("J", "J"),
        ("C", "°C"),
        ("deltaC", "K"),
        ("W/m2", "W/m²"),
        ("W/m2-K", "W/(m² K)"),
        ("kgWater/kgDryAir", "kg/kg"),
        ("m3/s", "m³/s"),
        ("ach", "1/h"),
        ("deg", "°"),
        ("%", "%"),
        ("kWh", "kWh"),
        ("kWh/m2", "kWh/m²"),
        ("", "\N{EN DASH}"),
        ("my own unit!", "my own unit!"),
    ],
)
def test_the_engines_units_read_well(engine, read):
    assert readable_units(udunits(engine)) == read


def test_labels_break_at_words_and_keep_their_unit():
    output = xr.DataArray(0.0, name="x", attrs={"long_name": "InteriorLights:Electricity", "units": "W m-2 K-1"})
    assert label(output, width=60) == "InteriorLights:Electricity [W/(m²\N{NO-BREAK SPACE}K)]"
    assert label(output, width=16) == "InteriorLights:\nElectricity\n[W/(m²\N{NO-BREAK SPACE}K)]"
    assert label(output, width=10).split("\n")[:2] == ["Interior", "Lights:"]
    assert label(output, width=20, lines=1).replace("\n", " ") == "InteriorLights:Elec… [W/(m²\N{NO-BREAK SPACE}K)]"
    assert label(xr.DataArray(0.0, name="x"), width=9) == "x [\N{EN DASH}]"


def test_short_texts_stay():
    assert shortened("abc", width=3) == "abc"
    assert shortened("abcd", width=3) == "ab…"


def test_dollars_make_no_formula():
    figure, ax = plt.subplots()
    ax.set_xlabel(shortened("5 $ or $\\frac$", width=40))
    figure.canvas.draw()
    plt.close(figure)
