"""What cloud instances cost: list prices of one date, as a small table.

Decides which prices are known and what spot instances are taken to cost. A list price is no bill: discounts, taxes,
disks and traffic are not in it. What is not in the table has no price; nothing is guessed, and no cloud is asked.

How to bring it up to date: the prices of a family's ``large`` are the table; sizes are multiples of it, which
`tests/test_prices.py` compares with prices of other sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["COILED_USD_PER_VCPU_HOUR", "PRICES_DATE", "SPOT_SHARE", "Instance", "Rate", "instance", "list_price"]

PRICES_DATE = "2026-01-19"
"""When the prices of us-east-1 were the list's."""

SPOT_SHARE = 0.45
"""Of an on-demand price what a spot instance is taken to cost. Spot prices change by the hour; in a list of all zones
those of these types were mostly between 0.3 and 0.55 of the on-demand price."""

COILED_USD_PER_VCPU_HOUR = 0.05
"""What Coiled takes beside the cloud's price, as its page on prices said on 2026-10-07."""

_HOME = "us-east-1"

_LARGE_USD: Mapping[str, Mapping[str, float]] = {
    "c6a": {_HOME: 0.0765, "us-east-2": 0.0765, "us-west-2": 0.0765, "eu-west-1": 0.08208, "eu-central-1": 0.0873},
    "c6i": {_HOME: 0.085, "us-east-2": 0.085, "us-west-2": 0.085, "eu-west-1": 0.0912, "eu-central-1": 0.097},
    "c7a": {_HOME: 0.10264, "us-east-2": 0.10264, "us-west-2": 0.10264, "eu-west-1": 0.11012, "eu-central-1": 0.11713},
    "c7i": {_HOME: 0.08925, "us-east-2": 0.08925, "us-west-2": 0.08925, "eu-west-1": 0.09576, "eu-central-1": 0.10185},
    "m6a": {_HOME: 0.0864},
    "m6i": {_HOME: 0.096},
    "m7a": {_HOME: 0.11592},
    "m7i": {_HOME: 0.1008},
}
"""Family -> region -> USD for an hour of ``large`` with Linux, on demand.

Sources: the price list that Karpenter generates from AWS's (us-east-1, 2026-01-19); SkyPilot's catalogue of AWS (all
regions, and spot prices).
"""

_SIZES = {"large": 1, "xlarge": 2, "2xlarge": 4, "4xlarge": 8, "8xlarge": 16}
"""Size -> multiple of ``large``, which has two vCPU."""
_GIB_PER_VCPU = {"c": 2, "m": 4}


@dataclass(frozen=True)
class Instance:
    """What a type of instance has."""

    name: str
    """As AWS spells it: ``c7a.large``."""
    vcpus: int
    """Virtual cores; of the families whose names end in ``7a`` each is a whole core, else half of one."""
    memory_gib: int
    """Memory, GiB."""


@dataclass(frozen=True)
class Rate:
    """What a worker of a cluster costs."""

    worker: str
    """What it is, in words: ``c7a.large spot``."""
    usd_per_hour: float
    """USD for an hour of it, all that is known included."""
    note: str = ""
    """Where the figure comes from."""
    start_s: float = 0.0
    """Seconds of it that are paid before it can work."""


def instance(name: str) -> Instance | None:
    """Return what a type of instance has; None for one that is not in the table.

    Examples
    --------
    >>> instance("c7a.2xlarge")
    Instance(name='c7a.2xlarge', vcpus=8, memory_gib=16)
    >>> instance("c9z.large") is None
    True
    """
    family, _, size = name.partition(".")
    if family not in _LARGE_USD or size not in _SIZES:
        return None
    vcpus = 2 * _SIZES[size]
    return Instance(name, vcpus, vcpus * _GIB_PER_VCPU[family[0]])


def list_price(name: str, region: str | None = None) -> tuple[float, str] | None:
    """Return the list price of an instance on demand, USD per hour, and the region whose price it is.

    Parameters
    ----------
    name
        Type of instance.
    region
        Where it runs. If its price there is not in the table, or no region is given, it is that of us-east-1.

    Returns
    -------
    tuple or None
        None for a type that is not in the table.

    Examples
    --------
    >>> list_price("c7a.xlarge", "us-east-2")
    (0.20528, 'us-east-2')
    >>> list_price("m7i.large", "eu-central-1")
    (0.1008, 'us-east-1')
    """
    known = instance(name)
    if known is None:
        return None
    family, _, size = name.partition(".")
    prices = _LARGE_USD[family]
    place = region if region is not None and region in prices else _HOME
    return prices[place] * _SIZES[size], place
