"""Tables as Jupyter shows them: narrow enough for a page, texts from the left.

Decides what a table leaves out on a page and how its numbers look. Never changes the table that it shows.
"""

from __future__ import annotations

import pandas as pd

__all__ = ["text_table", "variant_table"]

_MOST_ROWS = 12
_NO_FORMULAS = ("display.html.use_mathjax", False)
"""A price in dollars is no formula, and a stranger's formula may hold links."""
_LEFT = ' style="text-align: left">'


def text_table(frame: pd.DataFrame, *, has_heads: bool = True) -> str:
    """Return a table of texts as HTML, each cell whole and from the left.

    Parameters
    ----------
    frame
        Texts; its index is not shown.
    has_heads
        False to leave out the names of the columns.

    Examples
    --------
    >>> "a &amp; b" in text_table(pd.DataFrame({"name": ["a & b"]}))
    True
    """
    with pd.option_context("display.max_colwidth", None, *_NO_FORMULAS):
        html = frame.to_html(index=False, header=has_heads, border=0)
    return html.replace("<td>", f"<td{_LEFT}").replace("<th>", f"<th{_LEFT}")


def variant_table(frame: pd.DataFrame) -> str:
    """Return a variant table as HTML.

    Parameters
    ----------
    frame
        A row per variant. A baseline or weather file that all rows share and all but the first 12 digits of a
        ``variant_id`` are left out; what is null or missing is blank.

    Examples
    --------
    >>> html = variant_table(pd.DataFrame({"weather": ["a", "a"], "lighting": [None, 8.0]}))
    >>> "weather" in html, "None" in html, "NaN" in html, "<td>8</td>" in html
    (False, False, False, True)
    """
    same = [label for label in ("baseline", "weather") if label in frame and frame[label].nunique() <= 1]
    shown = frame.drop(columns=same)
    if "variant_id" in shown:
        shown["variant_id"] = shown["variant_id"].str[:12]
    with pd.option_context(*_NO_FORMULAS):
        return shown.to_html(max_rows=_MOST_ROWS, na_rep="", float_format="{:.6g}".format, border=0)
