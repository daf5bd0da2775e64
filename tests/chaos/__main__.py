"""``python -m chaos``: run the storms of the matrix and print what came of them; exit with 1 if anything is broken."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from chaos.matrix import MATRIX, SHORT, Harness, Outcome

_COLUMNS = ("storm", "faults", "variants", "lost", "twice", "extra runs", "at most", "drivers", "seconds", "time lost")


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    names = [one.name for one in (*MATRIX, *SHORT)]
    parser.add_argument("--seed", type=int, help="of all chance; printed to replay a storm")
    parser.add_argument("--only", action="append", choices=names, help="a storm by its name")
    parser.add_argument("--folder", type=Path, help="keep stores and logs here")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # all that was started ends
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}: replay with python -m chaos --seed {seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as temporary:
        harness = Harness(options.folder or Path(temporary))
        outcomes = []
        for scenario in (*MATRIX, *SHORT):
            if scenario.name in options.only if options.only else scenario in MATRIX:
                outcomes.append(harness.run(scenario, seed=seed))
                print(told(outcomes[-1]), flush=True)
    print()
    print(table(outcomes))
    broken = [outcome.scenario.name for outcome in outcomes if outcome.found.broken]
    seconds, told_broken = time.monotonic() - began, ", ".join(broken) or "nothing"
    print(f"{len(outcomes)} storms in {seconds:.0f} s, seed {seed}: {told_broken} broken")
    return 1 if broken else 0


def told(outcome: Outcome) -> str:
    """Return one line for a storm, and one for all that it broke."""
    head = f"{outcome.scenario.name}: {'BROKEN' if outcome.found.broken else 'holds'} after {outcome.seconds:.0f} s"
    return "\n  ".join([head, *outcome.found.broken])


def table(outcomes: list[Outcome]) -> str:
    """Return what came of all storms."""
    lines = [_COLUMNS, *map(_line, outcomes)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _line(outcome: Outcome) -> tuple[str, ...]:
    injected = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.injected.items())) or "none"
    found = outcome.found
    counts = (outcome.scenario.work.variants, found.lost, found.duplicated, outcome.extra_runs)
    counts += (outcome.most_extra_runs, outcome.drivers)
    return (outcome.scenario.name, injected, *map(str, counts), f"{outcome.seconds:.0f}", f"{outcome.lost_s:+.0f}")


if __name__ == "__main__":
    sys.exit(main())
