"""The cases: number N of seed S is always the same bytes.

Decides which input a case mutates, how, and which command it goes through. Never runs anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from fuzz_mutators import MUTATORS, pick
from fuzz_seeds import KINDS, Seed, seeds_of

__all__ = ["COUNT", "FOUND", "SEED", "Case", "case"]

SEED = 20250114
"""Of the cases that ``make fuzz`` runs."""

COUNT = sum(KINDS.values())
"""How many these are."""

FOUND: tuple[tuple[int, int, str], ...] = (
    (SEED, 2, "an epJSON's text where EnergyPlus wants a number became a blank field, and the default"),
    (SEED, 24, "a message showed a number of 100,000 letters"),
    (SEED, 65, "a character that YAML does not know was told without its line, with a position in <unicode string>"),
    (SEED, 85, "an anchor that is given again printed a warning of the YAML library"),
    (SEED, 121, "of two Version objects, which EnergyPlus refuses, the model written for it had one"),
    (SEED, 226, "aliases of aliases were told without a place"),
)
"""Cases that found a defect once: seed, number, and what they found."""


@dataclass(frozen=True)
class Case:
    """One mutated input and the command that gets it."""

    seed: int
    """Of all that is drawn."""
    number: int
    """Of the case."""
    kind: str
    """One of `KINDS`."""
    command: str
    """``run``, ``describe`` or ``init``."""
    valid: Seed
    """What was mutated."""
    content: bytes
    """What became of it."""
    how: tuple[str, ...]
    """Names of the mutators."""

    @property
    def files(self) -> dict[str, bytes]:
        """Name -> content of all files, the mutated one among them."""
        return {**self.valid.files, self.valid.target: self.content}

    @property
    def label(self) -> str:
        """How people refer to it."""
        return f"{self.seed}:{self.number}"


def case(seed: int, number: int) -> Case:
    """Return case `number` of `seed`."""
    rng = Random(f"bemsweep {seed} {number}")
    kind = _kinds()[number % COUNT]
    options = seeds_of(kind)
    valid = options[rng.randrange(4) != 0] if kind == "epw" else pick(options, rng)
    if kind == "idf":  # the office takes the engine longer
        valid = options[rng.randrange(4) == 0]
    is_model = kind in ("idf", "epjson")
    command = pick(("run", "run", "run", "run", "describe", "init"), rng) if is_model else "run"
    if command != "run":
        valid = options[0]
    content, how = valid.content, []
    wanted = pick((1, 1, 1, 1, 1, 1, 2, 2, 2, 3), rng)
    while len(how) < wanted or content == valid.content:
        mutator = pick(MUTATORS[kind], rng)
        content = mutator(content, rng)
        how.append(mutator.__name__)
    return Case(seed, number, kind, command, valid, content, tuple(how))


def _kinds() -> list[str]:
    """Return the kind of each number: all kinds mixed, so that the first few cases have some of each."""
    places = [((place + 0.5) / share, kind) for kind, share in KINDS.items() for place in range(share)]
    return [kind for _, kind in sorted(places)]
