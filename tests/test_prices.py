from __future__ import annotations

import datetime as dt

import pytest

from bemsweep import prices
from bemsweep.prices import COILED_USD_PER_VCPU_HOUR, PRICES_DATE, SPOT_SHARE, instance, list_price
from bemsweep.vm_types import is_arm, vcpus

LIST = {
    ("c6a.4xlarge", "us-east-1"): 0.612,
    ("c6a.8xlarge", "eu-west-1"): 1.31328,
    ("c6a.xlarge", "eu-central-1"): 0.1746,
    ("c6i.8xlarge", "us-west-2"): 1.36,
    ("c6i.4xlarge", "eu-central-1"): 0.776,
    ("c6i.8xlarge", "eu-west-1"): 1.4592,
    ("c7a.8xlarge", "us-east-2"): 1.64224,
    ("c7a.4xlarge", "eu-west-1"): 0.88096,
    ("c7a.8xlarge", "eu-central-1"): 1.87408,
    ("c7i.xlarge", "us-east-1"): 0.1785,
    ("c7i.xlarge", "eu-central-1"): 0.2037,
    ("c7i.xlarge", "eu-west-1"): 0.19152,
    ("m6a.2xlarge", "us-east-1"): 0.3456,
    ("m6i.4xlarge", "us-east-1"): 0.768,
    ("m7a.8xlarge", "us-east-1"): 1.85472,
    ("m7i.2xlarge", "us-east-1"): 0.4032,
}
"""Prices of other sizes than ``large`` on the same lists."""


@pytest.mark.parametrize(("name", "region"), LIST, ids=" in ".join)
def test_sizes_cost_what_the_lists_say(name: str, region: str) -> None:
    price = list_price(name, region)
    assert price is not None
    assert price[0] == pytest.approx(LIST[name, region], abs=1e-5)
    assert price[1] == region


ALL = [f"{family}.{size}" for family in prices._LARGE_USD for size in prices._SIZES]


def test_the_table_is_consistent() -> None:
    assert {name.partition(".")[0] for name, _ in LIST} == set(prices._LARGE_USD), "each family has a size to compare"
    dt.date.fromisoformat(PRICES_DATE)
    assert 0 < COILED_USD_PER_VCPU_HOUR < 1
    assert 0 < SPOT_SHARE < 1
    for family, of_regions in prices._LARGE_USD.items():
        assert all(1 <= usd / of_regions["us-east-1"] < 1.3 for usd in of_regions.values()), family
    for name in ALL:
        known = instance(name)
        assert known is not None
        assert known.vcpus == vcpus(name)
        assert known.memory_gib / known.vcpus == {"c": 2, "m": 4}[name[0]]
        assert not is_arm(name), "no engine runs there"


def test_where_a_price_is_not_known_it_is_that_of_the_first_region_and_says_so() -> None:
    assert list_price("m7a.large", "eu-west-1") == (0.11592, "us-east-1")
    assert list_price("c7a.large", "mars-north-1") == (0.10264, "us-east-1")
    assert list_price("c7a.large") == (0.10264, "us-east-1")


@pytest.mark.parametrize("name", ["c9z.large", "c7a.metal", "c7a.medium", "c7a", "", "n2-standard-8", "C7A.LARGE"])
def test_what_is_not_in_the_table_has_no_price(name: str) -> None:
    assert list_price(name, "us-east-1") is None
    assert instance(name) is None
