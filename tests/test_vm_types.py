from __future__ import annotations

import pytest

from bemsweep.vm_types import is_arm, vcpus


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("c7a.medium", 1), ("t3.medium", 2), ("m6id.large", 2), ("c7a.xlarge", 4), ("r7iz.16xlarge", 64),
        ("u-6tb1.metal", None), ("c2d-highcpu-56", 56), ("e2-medium", None), ("Standard_F8s_v2", 8),
        ("Standard_E4-2s_v5", None), ("", None),
    ],
)  # fmt: skip
def test_names_tell_how_many_cpus_there_are_or_nothing(name: str, expected: int | None) -> None:
    assert vcpus(name) == expected


def test_arm_is_told_from_the_name_of_graphics_cards() -> None:
    arm = ["a1.large", "t4g.medium", "c7gn.large", "im4gn.large", "c4a-standard-4", "Standard_D4ps_v5"]
    assert [name for name in [*arm, "g5.xlarge", "g4dn.xlarge", "m7a.large", "Standard_D4s_v5"] if is_arm(name)] == arm
