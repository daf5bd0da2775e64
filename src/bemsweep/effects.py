"""Which parameters change nothing: a field that EnergyPlus ignores gives no error, only equal results.

Decides by the variant table alone, from the hash of each variant's outputs. Never opens the outputs.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bemsweep.design import LABELS

__all__ = ["without_effect"]


def without_effect(table: pd.DataFrame, parameters: Iterable[str], *, computed: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the parameters whose levels leave every output the same to the last bit.

    Variants count in pairs that differ in that one parameter; a parameter of which there is no such pair,
    as in most sampled designs, is not judged.

    Parameters
    ----------
    table
        A variant table, as `bemsweep.results.status` returns it.
    parameters
        Those to judge.
    computed
        Those that others decide: they differ along with them, and are not judged.

    Returns
    -------
    tuple of str
        In the order of `parameters`.

    Examples
    --------
    >>> table = pd.DataFrame({"wall": [1, 2, 1], "lighting": [0, 0, 5], "outputs_sha256": ["x", "x", "y"]})
    >>> without_effect(table.assign(baseline="a", weather="b", status="succeeded"), ["wall", "lighting"])
    ('wall',)
    """
    judged = [name for name in parameters if name not in set(computed)]
    finished = table[table["status"] == "succeeded"]
    found = []
    for name in judged:
        others = [*LABELS, *(other for other in judged if other != name)]
        groups = finished.groupby(others, dropna=False, sort=False)
        is_compared = groups[name].nunique(dropna=False) > 1
        is_different = groups["outputs_sha256"].nunique() > 1
        if is_compared.any() and not is_different[is_compared].any():
            found.append(name)
    return tuple(found)
