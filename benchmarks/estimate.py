"""How good a plan's estimate is: the demo study's first four variants judge the other eight, which are then run.

Prints, of the estimate over the account, the ratio of engine seconds, of bytes and of wall-clock; and where the time
went. ``python benchmarks/estimate.py 3`` does it three times, on new stores. What else the machine does meanwhile
shows in the ratios: `slower` is how much less of the processor the eight got than the four, and explains that part.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import describe, told

import bemsweep as bs
from bemsweep.account import Account

STUDY = Path(__file__).parent.parent / "examples" / "office.yaml"
FIRST = 4


def run(plan: bs.Plan, **how: Any) -> tuple[Account, float]:
    """Run a plan; return its account, and processor seconds of engines' processes for each second of theirs."""
    before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    account = bs.run(plan, **how).account
    spent_s = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before
    return account, spent_s / (account.engine_s + account.preparing_s + account.reading_s)


def main(repetitions: int = 1) -> None:
    """Print a line for each repetition, and medians."""
    print(describe())
    study = bs.Study.from_yaml(STUDY)
    ratios: dict[str, list[float]] = {"engine seconds": [], "bytes": [], "wall-clock": [], "slower": []}
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as store:
            _, share_of_first = run(bs.plan(study, store=store), limit=FIRST)
            plan = bs.plan(study, store=store)
            account, share = run(plan)
        estimate = plan.estimate
        if estimate is None or estimate.total_record_bytes is None:
            raise SystemExit("the first variants have told nothing")
        ratios["engine seconds"].append(estimate.total_engine_s / account.engine_s)
        ratios["bytes"].append(estimate.total_record_bytes / account.record_bytes)
        ratios["wall-clock"].append(estimate.wall_s / account.wall_s)
        ratios["slower"].append(share_of_first / share)
        print(f"{estimate}\n{account}")
        print("estimate / account: " + ", ".join(f"{name} {values[-1]:.2f}" for name, values in ratios.items()))
    print("medians:            " + ", ".join(f"{name} {told(values)}" for name, values in ratios.items()))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
