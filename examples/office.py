"""What a study's results look like: a table and a picture of `examples/office.yaml`.

Run ``make demo``, or ``bemsweep run examples/office.yaml`` and then this script.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import xarray as xr

import bemsweep as bs

J_PER_MWH = 3.6e9
AS_IS = "as is"


def main(store: str = "bemsweep-store") -> None:
    """Print the variants with their site energy and draw the results."""
    results = bs.open_results(store, "office")
    table = tabulate(results["annual"].to_dataset())
    print(table.to_string(float_format="{:.2f}".format))
    picture = Path(store) / "studies" / "office" / "office.png"
    draw(table, results["hourly"].to_dataset(), picture)
    print(f"\npicture: {picture}\nopen the results in Python:\n")
    print(f'  import bemsweep as bs\n  hourly = bs.open_results("{store}", "office")["hourly"].to_dataset()')


def name_of(row: Any) -> str:
    """Return what a variant changes, in words."""
    changes = {
        "lighting {:g} W/m²": row.lighting,
        "infiltration x {:g}": row.infiltration,
        "north {:g}°": row.orientation,
    }
    told = [words.format(value) for words, value in changes.items() if value != AS_IS]
    return ", ".join(told) or "reference: as it is"


def tabulate(annual: xr.Dataset) -> pd.DataFrame:
    """Return a row per variant: its parameters, site energy and the difference from the reference."""
    parameters = ["lighting", "infiltration", "orientation"]
    table = annual[parameters].to_dataframe()[parameters]
    energy = (annual.electricity + annual.gas).isel(time=0).to_series() / J_PER_MWH
    table["site energy (MWh)"] = energy
    table["vs reference (%)"] = 100 * (energy / energy.iloc[0] - 1)
    return table.astype(dict.fromkeys(parameters, object)).fillna(dict.fromkeys(parameters, AS_IS))


def draw(table: pd.DataFrame, hourly: xr.Dataset, path: Path) -> None:
    """Draw the site energy of all variants and a typical day of the extreme ones."""
    mpl.use("agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    energy = table["site energy (MWh)"]
    names = [name_of(row) for row in table.itertuples()]
    left.axvline(energy.iloc[0], color="#777777", linestyle="--", linewidth=1)
    left.hlines(names, energy.iloc[0], energy, color="#bbbbbb", linewidth=1)
    left.scatter(energy, names, color=["#777777", *["#4477aa"] * (len(names) - 1)], zorder=2)
    left.set(xlabel="site energy, MWh a year", title="Twelve variants of a small office in Chicago")
    left.invert_yaxis()
    for label, variant, colour in (("reference", 0, "#777777"), ("lowest energy", int(energy.argmin()), "#4477aa")):
        power = hourly.electricity.isel(variant=variant) / 3.6e6
        power.groupby("time.hour").mean().plot(ax=right, label=label, color=colour, linewidth=2)
    right.set(xlabel="hour of day", ylabel="electric power, kW", title="Mean day of the year")
    right.set_ylim(0, None)
    right.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
