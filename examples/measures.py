"""Functions that examples/measures.yaml calls; each changes the idfkit document that it is given in place."""

from __future__ import annotations

from idfkit import IDFDocument, set_wwr


def set_window_to_wall_ratio(document: IDFDocument[bool], ratio: float) -> None:
    """Replace the windows of each exterior wall by one that takes up `ratio` of it."""
    set_wwr(document, ratio, construction="Window Non-res Fixed")
