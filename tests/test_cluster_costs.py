from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bemsweep.cluster_costs import (
    COILED_START_S,
    bucket_region,
    cluster_text,
    distance_warning,
    on_cluster,
    rate_of,
)
from bemsweep.cluster_file import Coiled, Local, Range, Scheduler, Slurm
from bemsweep.prices import COILED_USD_PER_VCPU_HOUR, SPOT_SHARE
from bemsweep.progress import Estimate

HERE = Estimate(
    tried=4, failed=0, seconds=(8.0, 9.0, 10.0), memory_bytes=10**8, record_bytes=1000, severe=(), to_do=4000,
    threads=2, engine_s=8.5, aside_s=20.0, judged_by="4 variants of office, 2 at once, 2026-11-20, Some CPU",
)  # fmt: skip


def coiled(**changes: Any) -> Coiled:
    return Coiled(**{"workers": 20, "vm_types": ["c7a.large"], "region": "us-east-2", **changes})


def slurm(**changes: Any) -> Slurm:
    return Slurm(**{"jobs": 10, "cores": 8, "memory": "8 GiB", "walltime": "02:00:00", **changes})


def test_a_machine_costs_its_list_price_and_coileds_charge() -> None:
    on_demand, spot = rate_of(coiled(spot=False)), rate_of(coiled())
    assert on_demand is not None
    assert spot is not None
    charge = 2 * COILED_USD_PER_VCPU_HOUR
    assert on_demand.usd_per_hour == pytest.approx(0.10264 + charge)
    assert spot.usd_per_hour == pytest.approx(SPOT_SHARE * 0.10264 + charge)
    assert (on_demand.worker, spot.worker) == ("c7a.large", "c7a.large spot")
    assert "list price of us-east-2 on 20" in on_demand.note
    assert "spot taken as 45% of it" in spot.note
    assert on_demand.start_s == COILED_START_S


def test_the_buckets_region_is_taken_where_the_file_names_none() -> None:
    there = rate_of(coiled(region=None, spot=False), region="eu-central-1")
    assert there is not None
    assert there.usd_per_hour == pytest.approx(0.11713 + 2 * COILED_USD_PER_VCPU_HOUR)
    elsewhere = rate_of(coiled(vm_types=["m7a.large"]), region="eu-central-1")
    assert elsewhere is not None
    assert "that of eu-central-1 is not known" not in elsewhere.note, "the file says us-east-2"
    assert "list price of us-east-1" in elsewhere.note
    assert "that of us-east-2 is not known" in elsewhere.note


def test_of_several_types_the_dearest_counts() -> None:
    rate = rate_of(coiled(vm_types=["c6i.large", "c7a.large", "c7i.large"], spot=False))
    assert rate is not None
    assert rate.usd_per_hour == pytest.approx(0.10264 + 2 * COILED_USD_PER_VCPU_HOUR)
    assert "the dearest of these types" in rate.note
    assert rate_of(coiled(vm_types=["c6i.large", "c9z.large"])) is None, "one of them may be all there is"


def test_the_users_own_price_wins() -> None:
    for cluster, worker in (
        (coiled(price_per_hour=0.5), "c7a.large spot"),
        (coiled(vm_types=["c9z.large"], price_per_hour=0.5), "c9z.large spot"),
        (slurm(price_per_hour=0.5), "job of 8 cores"),
        (Scheduler(address="tcp://127.0.0.1:8786", price_per_hour=0.5), "worker"),
        (Local(processes=2, threads=4, price_per_hour=1.0), "worker"),
    ):
        rate = rate_of(cluster)
        assert rate is not None
        assert (rate.usd_per_hour, rate.worker, rate.note) == (0.5, worker, "price_per_hour of the cluster file")


@pytest.mark.parametrize(
    "cluster",
    [slurm(), Local(), Scheduler(address="tcp://127.0.0.1:8786"), coiled(vm_types=["c9z.large"])],
    ids=["slurm", "local", "scheduler", "unknown type"],
)
def test_what_nobody_prices_has_no_price(cluster: Any) -> None:
    assert rate_of(cluster) is None
    told = on_cluster(HERE, cluster)
    assert told.usd_per_hour is None
    assert told.cost_usd is None
    assert "$" not in str(told)


def test_an_estimate_has_the_clusters_threads_its_start_and_its_price() -> None:
    told = on_cluster(HERE, coiled())
    rate = rate_of(coiled())
    assert rate is not None
    assert (told.threads, told.cluster) == (40, "20 x c7a.large spot")
    assert told.wall_s == pytest.approx(COILED_START_S + 20.0 + 9.0 * 100)
    assert told.cost_usd == pytest.approx(20 * rate.usd_per_hour * told.wall_s / 3600)
    assert "to go     4,000: about 17 min on 20 x c7a.large spot, 40 at once, about $0.84, 9 h 27 min of" in str(told)
    assert "2 min are allowed for the machines' start" in str(told)
    assert told.to_dict()["cost_usd"] == pytest.approx(told.cost_usd)
    assert on_cluster(replace(HERE, threads=64), coiled()) == told


def test_a_cluster_that_follows_the_work_is_judged_by_its_most() -> None:
    told = on_cluster(HERE, coiled(workers=Range(min=0, max=40)))
    assert (told.threads, told.cluster) == (80, "0 to 40 x c7a.large spot")
    assert "the time is that of 80 at once, the most" in str(told)


def test_slurm_and_schedulers_say_what_is_not_known() -> None:
    told = on_cluster(HERE, slurm(price_per_hour=0.2))
    assert (told.threads, told.cluster, told.start_s) == (80, "10 x job of 8 cores", 0.0)
    assert told.cost_usd == pytest.approx(10 * 0.2 * told.wall_s / 3600)
    assert "the time in Slurm's queue is not in it" in str(told)
    told = on_cluster(HERE, Scheduler(address="tcp://127.0.0.1:8786", price_per_hour=0.2))
    assert told.threads == 1
    assert "only the scheduler knows" in str(told)
    assert told.cost_usd is None, "nobody knows how many workers it has"


def test_no_price_is_told_with_how_to_give_one() -> None:
    told = str(on_cluster(HERE, coiled(vm_types=["c9z.large"])))
    assert "no price is known of c9z.large spot: `price_per_hour` in the cluster file gives it" in told
    assert "price" not in str(on_cluster(HERE, Local())), "nobody asks what the own machine costs"


def test_clusters_have_short_names() -> None:
    assert cluster_text(Local()) == "this machine"
    assert cluster_text(Scheduler(address="tcp://127.0.0.1:8786")) == "the cluster of tcp://127.0.0.1:8786"


KEYS = {"AWS_REGION": "us-east-2"}


@pytest.mark.parametrize(
    ("url", "options", "environ", "region"),
    [
        ("s3://b/x", {}, KEYS, "us-east-2"),
        ("s3://b/x", {}, {"AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
        ("s3a://b/x", {"client_kwargs": {"region_name": "eu-west-1"}}, KEYS, "eu-west-1"),
        ("s3://b/x", {"endpoint_url": "https://s3.eu-central-1.amazonaws.com"}, KEYS, "eu-central-1"),
        ("s3://b/x", {"client_kwargs": {"endpoint_url": "https://minio.lab:9000"}}, KEYS, None),
        ("s3://b/x", {}, {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:8333"}, None),
        ("s3://b/x", {}, {}, None),
        ("gs://b/x", {}, KEYS, None),
        ("/scratch/store", {}, KEYS, None),
    ],
)
def test_a_buckets_region_is_what_settings_say(url: str, options: Any, environ: Any, region: str | None) -> None:
    assert bucket_region(url, options, environ) == region


def test_another_place_than_the_clusters_is_told_in_a_sentence() -> None:
    told = distance_warning(coiled(), "s3://b/x", "eu-west-1")
    assert told.startswith("the cluster is in us-east-2 and the store in eu-west-1: ")
    assert "do not reach" in distance_warning(coiled(), "/home/me/store", None)


@pytest.mark.parametrize(
    ("cluster", "url", "bucket"),
    [
        (coiled(), "s3://b/x", "us-east-2"),
        (coiled(), "s3://b/x", None),
        (coiled(region=None), "s3://b/x", "us-east-2"),
        (slurm(), "/shared/store", None),
        (Local(), "s3://b/x", "us-east-2"),
    ],
    ids=["same", "unknown bucket", "unknown cluster", "slurm", "local"],
)
def test_no_warning_without_two_known_places(cluster: Any, url: str, bucket: str | None) -> None:
    assert distance_warning(cluster, url, bucket) == ""
