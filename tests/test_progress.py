from __future__ import annotations

import pytest

from bemsweep.progress import Progress


def test_rates_follow_from_what_is_done() -> None:
    progress = Progress(total=12, cached=2, to_do=10, statuses={"succeeded": 3, "failed": 2}, elapsed_s=10.0)
    assert (progress.done, progress.failed) == (5, 2)
    assert progress.rate == pytest.approx(0.5)
    assert progress.eta_s == pytest.approx(10.0)


def test_nothing_is_said_of_the_time_to_go_before_anything_is_done() -> None:
    assert Progress(total=12, cached=0, to_do=12, elapsed_s=5.0).eta_s is None
