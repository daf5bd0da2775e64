"""A small made-up study for tests of the cube: its series, records and rows."""

from __future__ import annotations

import datetime as dt
import io
import math
from functools import partial

import numpy as np
import pandas as pd

from bemsweep.cube import Cube
from bemsweep.layout import BLOCK_ROWS, TABLE_COLUMNS, Layout, Parameter
from bemsweep.packing import pack
from bemsweep.periods import Calendar, Period
from bemsweep.record_file import to_bytes
from bemsweep.records import Record, Series

TEN_DAYS = Calendar(periods=(Period("days", dt.date(2017, 1, 25), dt.date(2017, 2, 3)),))
DESIGN_DAYS = Calendar(design_days=2)
ZONES = ("South", "Core")
PARAMETERS = (Parameter("lighting", "number"), Parameter("glazing", "text"))


def temperature(calendar, row, zones=ZONES, frequency="hourly"):
    """Return temperatures that differ in every row, zone and hour, special values among them."""
    size = math.prod(calendar.shape(frequency))
    found = []
    for zone in zones:
        values = 20 + row + np.random.default_rng([row, len(zone)]).normal(size=size)
        values[0] = -0.0
        found.append(Series("temperature", frequency, zone, "zone", "Zone Mean Air Temperature", "C", "mean", values))
    return found


def electricity(calendar, row, frequency="monthly"):
    values = 1e6 * (row + 1) + np.arange(math.prod(calendar.shape(frequency)), dtype=np.float64) / 3
    return Series("electricity", frequency, "", "", "Electricity:Facility", "J", "sum", values)


def record(calendar, row, *series):
    series = series or (*temperature(calendar, row), electricity(calendar, row))
    return Record(
        variant_id=variant_id(row),
        status="succeeded",
        warnings=row,
        engine_s=0.5 + row,
        total_s=1.0,
        memory_bytes=2**33,
        timeout_s=60.0,
        utc_offset_h=-6.0,
        design_day_names=("cold é", "hot")[: calendar.design_days],
        design_day_dates=("01-21", "07-21")[: calendar.design_days],
        series=tuple(series),
    )


def variant_id(row):
    return f"{row:064x}"


def layout_of(calendar, **changes):
    return Layout(calendar, **changes).grow(record(calendar, 0).series).grow_parameters(PARAMETERS)


def opener(one):
    """Return what opens a record's bytes; of None, None."""
    return None if one is None else partial(io.BytesIO, one if isinstance(one, bytes) else to_bytes(one))


def pack_rows(store, calendar, rows, *, missing=()):
    """Pack the block that `rows` are."""
    records = [None if row in missing else opener(record(calendar, row)) for row in rows]
    return pack(store, rows[0], records)


def table(rows, facts=(), **columns):
    """Return the variant table of a study of `rows` rows: pending, but for what `facts` tell."""
    frame = pd.DataFrame({name: [None] * rows for name in TABLE_COLUMNS}, dtype=object)
    frame["variant_id"] = [variant_id(row) for row in range(rows)]
    frame["status"] = "pending"
    for part in facts:
        for name in TABLE_COLUMNS:
            frame.loc[part["row"], name] = part[name].to_numpy()
    frame["lighting"] = [None, *range(1, rows)] if rows else []
    frame["glazing"] = [None, *[f"glass {row}" for row in range(1, rows)]] if rows else []
    return frame.assign(**columns)


def whole_cube(store, calendar=TEN_DAYS, rows=3, **changes):
    """Create a cube, packed and committed."""
    cube = Cube.create(store, layout_of(calendar, **changes), attributes={"title": "A study", "study": "a-study"})
    cube.resize(rows)
    blocks = [range(first, min(first + BLOCK_ROWS, rows)) for first in range(0, rows, BLOCK_ROWS)]
    facts = [pack_rows(store, calendar, block).facts for block in blocks]
    cube.commit(table(rows, facts), dict.fromkeys(range(len(blocks)), "digest"))
    return cube
