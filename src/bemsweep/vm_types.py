"""What the names of clouds' virtual machines tell: how many virtual CPUs they have, and whether those are ARM.

Decides by the name alone. It knows no prices, and asks nobody.
"""

from __future__ import annotations

import re

__all__ = ["is_arm", "vcpus"]

_AWS = re.compile(r"[a-z]+\d+[a-z0-9-]*\.(medium|large|(\d*)xlarge)")
_AWS_ARM = re.compile(r"([a-z]+\d+g[a-z0-9-]*|a1)\.\w+")
_GOOGLE = re.compile(r"[a-z]\d+[a-z]?-(?:standard|highmem|highcpu)-(\d+)")
_GOOGLE_ARM = re.compile(r"(t2a|c4a|n4a)-.*")
_AZURE = re.compile(r"Standard_[A-Z]+(\d+)[a-z]*(_v\d+)?")
_AZURE_ARM = re.compile(r"Standard_[A-Z]+\d+[a-z]*p[a-z]*(_v\d+)?")


def vcpus(vm_type: str) -> int | None:
    """Return how many virtual CPUs a type of virtual machine has; None if its name does not tell.

    Examples
    --------
    >>> vcpus("c7a.large"), vcpus("m6i.4xlarge"), vcpus("n2-standard-8"), vcpus("Standard_D4s_v5"), vcpus("c7a.metal")
    (2, 16, 8, 4, None)
    """
    if (found := _AWS.fullmatch(vm_type)) is not None:
        if found[1] == "medium":  # the bursting ones have two
            return 2 if vm_type.startswith("t") else 1
        return 2 if found[1] == "large" else 4 * int(found[2] or 1)
    if (found := _GOOGLE.fullmatch(vm_type) or _AZURE.fullmatch(vm_type)) is not None:
        return int(found[1])
    return None


def is_arm(vm_type: str) -> bool:
    """Return True if a type of virtual machine is known to have ARM processors.

    Examples
    --------
    >>> [name for name in ("c7g.large", "m6gd.xlarge", "g5.xlarge", "c7a.large", "t2a-standard-4") if is_arm(name)]
    ['c7g.large', 'm6gd.xlarge', 't2a-standard-4']
    """
    return any(pattern.fullmatch(vm_type) for pattern in (_AWS_ARM, _GOOGLE_ARM, _AZURE_ARM))
