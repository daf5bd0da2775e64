"""``make fuzz``: run all mutated inputs and print what came of them; the exit status is 1 if there is any defect.

Two run at a time. ``PYTHONPATH=tests python tests/fuzz/run_fuzz.py 20250114:17 …`` runs those cases alone and tells all
of each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from fuzz_cases import COUNT, SEED
from fuzz_runner import Judged, judge_number
from fuzz_seeds import KINDS

_DEFECTS = ("traceback", "hang", "false success", "the machine's fault", "vague message")
_OUTCOMES = ("refused", "failed", "succeeded")


def run_all(numbers: Iterable[tuple[int, int]], *, workers: int = 2) -> Iterator[Judged]:
    """Run cases, given as seed and number, and yield each as it ends."""
    with ThreadPoolExecutor(workers) as pool:
        for future in as_completed([pool.submit(judge_number, *number) for number in numbers]):
            yield future.result()


def table(found: list[Judged]) -> str:
    """Return the table of kinds and what came of their cases."""
    heads = ("kind", "cases", *_OUTCOMES, "tracebacks", "hangs", "false successes", "machine's fault", "vague messages")
    rows = []
    for kind in (*KINDS, "all"):
        of_kind = [one for one in found if kind in (one.kind, "all")]
        counts = [sum(one.outcome == outcome and not one.defect for one in of_kind) for outcome in _OUTCOMES]
        counts += [sum(one.defect == defect for one in of_kind) for defect in _DEFECTS]
        rows.append((kind, str(len(of_kind)), *map(str, counts)))
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows)
    )


def main() -> int:
    """Run, print and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="SEED:NUMBER", help="only these")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--log", type=Path, help="write every case there, a line of JSON each")
    options = parser.parse_args()
    chosen = [tuple(map(int, text.split(":"))) for text in options.cases]
    numbers = chosen or [(options.seed, number) for number in range(options.count)]
    began, found = time.monotonic(), []
    for one in run_all(numbers, workers=options.workers):
        found.append(one)
        if options.log:
            with options.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(vars(one)) + "\n")
        if one.defect or chosen:
            told = f"{one.defect or 'no defect'}, {one.outcome}, {one.seconds:.1f} s"
            sys.stdout.write(f"{one.label} {one.kind} {one.command} {'+'.join(one.how)}: {told}\n{one.told}\n\n")
            sys.stdout.flush()
    seconds = time.monotonic() - began
    sys.stdout.write(f"seed {options.seed}, {len(found)} cases in {seconds / 60:.1f} min\n{table(found)}\n")
    return int(any(one.defect for one in found))


if __name__ == "__main__":
    sys.exit(main())
