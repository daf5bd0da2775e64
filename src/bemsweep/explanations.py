"""What a failure means and what to try: one sentence for the frequent failures of parametric studies.

Decides by the text of the message alone, and says nothing where nothing fits: a wrong explanation costs more
than none. Never judges a run (`bemsweep.outcome` does).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bemsweep.records import Status

__all__ = ["EXPLANATIONS", "Explanation", "explain", "message_kind"]

_NUMBER = re.compile(r"(?<!\w)[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)")
"""A number by itself, which differs from variant to variant, and not one in a name."""


@dataclass(frozen=True)
class Explanation:
    """What one kind of message means."""

    pattern: str
    """Regular expression that is searched for in the message."""
    advice: str
    """What it means and what to try."""
    source: str = ""
    """Text of EnergyPlus that the pattern relies on, as it stands in the engine; ``""`` if bemsweep says it."""


EXPLANATIONS: tuple[Explanation, ...] = (
    # What the input processor refuses: the edit made a value that the schema does not allow.
    Explanation(
        r"Expected number (greater|less) than",
        "the edited value is out of the range that EnergyPlus allows for this field: take other levels",
        "Expected number greater than",
    ),
    Explanation(
        r"Failed to match against any enum values",
        "the field takes a few words only, and the edit wrote another: see the field's choices",
        "Failed to match against any enum values.",
    ),
    Explanation(
        r"Missing required property",
        "the edit left a required field blank: set it too, or drop the level",
        "Missing required property '",
    ),
    Explanation(
        r"Value type \"\w+\" for input .* not permitted by 'type' constraint",
        "the edit wrote a text where the field takes a number, or a number where it takes a text",
        "not permitted by 'type' constraint.",
    ),
    # What the model's parts say of each other.
    Explanation(
        r"Sum of Fractions > 1\.0",
        "the radiant, visible, latent, lost and return air fractions of this gain add up to more than 1: "
        "vary them together",
        "Sum of Fractions > 1.0",
    ),
    Explanation(
        r"item not found|[Ii]nvalid [\w .]*[Nn]ame ?=",
        "a field names an object that the model does not have: check the spelling, or have the same variant insert "
        "the object",
        "item not found.",
    ),
    Explanation(
        r"has missing days in its schedule pointers",
        "the schedule does not cover every day of the year: it needs `Through: 12/31` and `For: AllOtherDays`",
        "has missing days in its schedule pointers",
    ),
    Explanation(
        r"Node Connection Error",
        "an air or water node has no counterpart: an edit renamed, removed or doubled one end of a connection",
        "Node Connection Error, Node=",
    ),
    Explanation(
        r"maximum outdoor air flow rate .*< minimum outdoor air flow rate",
        "the outdoor air controller's minimum is above its maximum: vary both, or autosize the maximum",
        " < minimum outdoor air flow rate",
    ),
    # Geometry.
    Explanation(
        r"have too much area for base surface",
        "windows and doors are larger than their wall: lower the window-to-wall ratio or the multiplier",
        "have too much area for base surface",
    ),
    Explanation(
        r"Surface Area <= 0\.0",
        "an edit of vertices left a surface without area: check their order and coordinates",
        "Surface Area <= 0.0",
    ),
    # Constructions and the heat balance.
    Explanation(
        r"CTF calculation convergence problem",
        "a layer of this construction is too thick, too heavy or too resistive for conduction transfer functions: "
        "make it thinner, write insulation as Material:NoMass, or use ConductionFiniteDifference",
        "CTF calculation convergence problem for Construction=",
    ),
    Explanation(
        r"too thin and/or too highly conductive",
        "a layer conducts heat too fast to be calculated: make it thicker, or leave it out",
        "Found Material that is too thin and/or too highly conductive, material name = ",
    ),
    Explanation(
        r"very far out of bounds during warmup|Temperature \((high|low)\) out of bounds",
        "a surface's temperature ran away: look for gains or infiltration that are far too large (W for kW, persons "
        "for persons per m2), for a zone without thermal mass, and for a zone that is not closed",
        "..is very far out of bounds during warmup. This may be an indication of a malformed zone.",
    ),
    Explanation(
        r"Effective heating set-point higher than effective cooling set-point",
        "at some hour the heating setpoint is above the cooling setpoint: vary both together, or leave such "
        "combinations out with `exclude`",
        "Effective heating set-point higher than effective cooling set-point",
    ),
    # Sizing and plant.
    Explanation(
        r"has been requested but there are no design environments",
        "equipment is to be sized, but the model has no design days: add SizingPeriod:DesignDay objects",
        "has been requested but there are no design environments",
    ),
    Explanation(
        r"a (zone|system) sizing run must be done|Requested System Sizing but did not request Zone Sizing"
        r"|[Dd]id not find Sizing:Plant object",
        "equipment is autosized, but a Sizing:Zone, Sizing:System or Sizing:Plant object for it is missing: "
        "keep it, or give the equipment's sizes",
        "System Sizing cannot be done without Zone Sizing",
    ),
    Explanation(
        r"Plant temperatures are getting far too",
        "a water loop is heated or cooled without end: its equipment is much too large for the load, or its controls "
        "no longer fit its setpoint",
        "Plant temperatures are getting far too",
    ),
    Explanation(
        r"Autosizing of (heating coil|HW baseboard) UA failed|design UA failed",
        "a water coil cannot reach its design load: the plant's and the zone's design temperatures must leave it a "
        "difference",
        "Autosizing of heating coil UA failed for Coil:Heating:Water",
    ),
    # What bemsweep says itself.
    Explanation(
        r"^the model does not report ",
        "this variant lacks what the output is about, such as a zone, a fuel or a kind of equipment: give the output "
        "`optional: true` if that is all right",
    ),
    Explanation(
        r"^time axis differs from the study's",
        "an edit changed the timestep, a run period or the design days: keep them the same in all variants",
    ),
    Explanation(
        r"^an edit ended the run's process",
        "a Python function of a parameter crashed the process: call it on the baseline in a Python of its own",
    ),
    Explanation(
        r"^\w+: .*\(.*, line \d+, in [\w<>]+\)$",
        "Python code raised this while the model was edited: call the parameter's function on the baseline, with "
        "this variant's value, at the line that is named",
    ),
    Explanation(
        r"died of SIG\w+ \(signal \d+\)",
        "EnergyPlus itself crashed, which is a defect of EnergyPlus on an unusual input: undo one edit after "
        "the other until it runs",
    ),
)
"""In the order in which they are tried: what a crash was preceded by tells more than the crash."""

_TIMED_OUT = (
    "the run took longer than the study's `timeout_s`: raise it and run again, which runs just these; if it never "
    "ends, its edits make EnergyPlus iterate"
)

_OUT_OF_MEMORY = (
    "the run held more memory than the study's `max_memory`: raise it, or take it away, and run again, which runs just "
    "these; many outputs at short frequencies cost little, large models and Python functions much"
)


def explain(status: Status, message: str) -> str:
    """Return what a failure means and what to try, ``""`` if nothing is known.

    Parameters
    ----------
    status
        How the variant ended.
    message
        The message of its record.

    Examples
    --------
    >>> explain("failed", 'GetInternalHeatGains: Lights="CORE", Sum of Fractions > 1.0').partition(":")[2]
    ' vary them together'
    >>> explain("failed", "nobody has seen this before")
    ''
    """
    if status == "timed_out":
        return _TIMED_OUT
    if status == "out_of_memory":
        return _OUT_OF_MEMORY
    return next((known.advice for known in EXPLANATIONS if re.search(known.pattern, message)), "")


def message_kind(message: str) -> str:
    """Return what messages have in common that differ only in numbers.

    Examples
    --------
    >>> message_kind("Lights L1: -5.2 is less than 0")
    'Lights L1: # is less than #'
    """
    return _NUMBER.sub("#", message)
