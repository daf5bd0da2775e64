"""Units: every unit of the engine has a UDUNITS spelling, and nothing else is touched."""

from __future__ import annotations

import pytest

from bemsweep.units import read_size, udunits

# Every unit of EnergyPlus 25.2's output variables and meters, and what UDUNITS-2 (checked with `udunits2`) calls it.
OF_THE_ENGINE = {
    "": "1",
    "%": "%",
    "A": "A",
    "Ah": "A h",
    "Btu/h-W": "Btu h-1 W-1",
    "C": "degC",
    "J": "J",
    "J/kg": "J kg-1",
    "J/kg-K": "J kg-1 K-1",
    "J/kgWater": "J kg-1",
    "J/m2": "J m-2",
    "K/W": "K W-1",
    "K/m": "K m-1",
    "L": "L",
    "Pa": "Pa",
    "V": "V",
    "W": "W",
    "W/K": "W K-1",
    "W/W": "W W-1",
    "W/m-K": "W m-1 K-1",
    "W/m2": "W m-2",
    "W/m2-C": "W m-2 K-1",
    "W/m2-K": "W m-2 K-1",
    "ach": "h-1",
    "cd/m2": "cd m-2",
    "clo": "clo",
    "deg": "degree",
    "deltaC": "K",
    "hr": "h",
    "kg": "kg",
    "kg/kg": "kg kg-1",
    "kg/m2-s": "kg m-2 s-1",
    "kg/m3": "kg m-3",
    "kg/s": "kg s-1",
    "kgWater/kgDryAir": "kg kg-1",
    "kgWater/s": "kg s-1",
    "kmol/s": "kmol s-1",
    "lum/W": "lm W-1",
    "lux": "lux",
    "m": "m",
    "m/s": "m s-1",
    "m2": "m2",
    "m3": "m3",
    "m3/s": "m3 s-1",
    "min": "min",
    "ppm": "ppm",
    "rad": "rad",
    "rev/min": "revolution min-1",
    "s": "s",
    "umol/m2-s": "umol m-2 s-1",
}


@pytest.mark.parametrize(("unit", "expected"), OF_THE_ENGINE.items())
def test_unit_of_the_engine(unit, expected):
    assert udunits(unit) == expected


@pytest.mark.parametrize("unit", ["unknown", "persons", "kg/m2/s", "J//m2", "W/m2 K", "-", "furlong/s"])
def test_what_is_no_known_product_is_left_alone(unit):
    assert udunits(unit) == unit


def test_no_array_unit_makes_xarray_see_a_duration():
    durations = {"days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"}
    assert durations.isdisjoint(udunits(unit) for unit in OF_THE_ENGINE)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (1, 1), (2**40, 2**40), ("7", 7), ("7 B", 7), ("2 kB", 2000), ("2 MB", 2_000_000), ("2GB", 2 * 10**9),
        ("2 KiB", 2048), (" 1.5 MiB ", 1_572_864), ("2 GiB", 2**31),
    ],
)  # fmt: skip
def test_sizes_are_read(given, size):
    assert read_size(given) == size


@pytest.mark.parametrize(
    "given", ["", "GiB", "-1 GiB", "1e9", "2,5 GiB", "2 GiB or so", True, None, 1.5, [2], float("nan")]
)
def test_what_is_no_size_is_refused(given):
    with pytest.raises(ValueError, match="is no size"):
        read_size(given)


@pytest.mark.parametrize(("given", "meant"), [("2 gib", "GB"), ("2 KB", "kB"), ("2 mb", "MB"), ("2 TB", "GiB")])
def test_a_unit_that_is_none_is_refused_with_one_that_is(given, meant):
    with pytest.raises(ValueError, match=f"did you mean {meant}"):
        read_size(given)
