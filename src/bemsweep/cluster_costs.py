"""What a cluster costs, by its file: what a worker's hour is worth, and what an estimate is on it.

Decides by list prices, or by `price_per_hour` in the file, which wins; what has neither has no price. Never asks a
cloud or a scheduler anything, so an estimate needs no account.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bemsweep.cluster_file import Cluster, Coiled, Local, Scheduler, Slurm
from bemsweep.places import protocol_of
from bemsweep.prices import COILED_USD_PER_VCPU_HOUR, PRICES_DATE, SPOT_SHARE, Rate, instance, list_price
from bemsweep.progress import Estimate

__all__ = ["COILED_START_S", "bucket_region", "cluster_text", "distance_warning", "on_cluster", "rate_of"]

COILED_START_S = 120.0
"""How long a virtual machine of Coiled's is allowed to take from the order to its worker, and paid for."""

_AMAZON = re.compile(r"\.(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com")


def rate_of(cluster: Cluster, *, region: str | None = None) -> Rate | None:
    """Return what a worker of a cluster costs; None if neither its file nor the list of prices says.

    Parameters
    ----------
    cluster
        What its file says.
    region
        Where it is if its file does not say: that of the store's bucket.
    """
    worker, start_s = _worker(cluster), COILED_START_S if isinstance(cluster, Coiled) else 0.0
    if cluster.price_per_hour is not None:
        each = cluster.price_per_hour / ((cluster.processes or 1) if isinstance(cluster, Local) else 1)
        return Rate(worker, each, "price_per_hour of the cluster file", start_s)
    if not isinstance(cluster, Coiled):
        return None
    return _coiled_rate(cluster, worker, cluster.region or region)


def _coiled_rate(cluster: Coiled, worker: str, region: str | None) -> Rate | None:
    priced = []
    for name in cluster.vm_types:
        known, price = instance(name), list_price(name, region)
        if known is None or price is None:
            return None
        usd, place = price
        charge = COILED_USD_PER_VCPU_HOUR * known.vcpus
        priced.append((usd * (SPOT_SHARE if cluster.is_spot else 1.0) + charge, place))
    usd, place = max(priced)
    told = [f"list price of {place} on {PRICES_DATE}"]
    if len(priced) > 1:
        told.insert(0, "the dearest of these types")
    if region is not None and place != region:
        told.append(f"that of {region} is not known")
    if cluster.is_spot:
        told.append(f"spot taken as {SPOT_SHARE:.0%} of it")
    told.append(f"and Coiled's ${COILED_USD_PER_VCPU_HOUR:.2f} for a virtual CPU")
    return Rate(worker, usd, ", ".join(told), COILED_START_S)


def _worker(cluster: Cluster) -> str:
    """Return what a worker is, in words."""
    if isinstance(cluster, Coiled):
        return " or ".join(cluster.vm_types) + (" spot" if cluster.is_spot else "")
    if isinstance(cluster, Slurm):
        return f"job of {cluster.cores} cores"
    return "worker"


def _most_workers(cluster: Cluster) -> int | None:
    """Return how many workers there may be at most; None if only the scheduler knows."""
    if isinstance(cluster, Coiled):
        return cluster.workers.max
    if isinstance(cluster, Slurm):
        return cluster.jobs.max
    return (cluster.processes or 1) if isinstance(cluster, Local) else None


def cluster_text(cluster: Cluster) -> str:
    """Return in a few words what a cluster is: ``20 x c7a.large spot``."""
    if isinstance(cluster, Scheduler):
        return f"the cluster of {cluster.address}"
    if isinstance(cluster, Local):
        return "this machine"
    workers = cluster.workers if isinstance(cluster, Coiled) else cluster.jobs
    return f"{workers} x {_worker(cluster)}"


def on_cluster(estimate: Estimate, cluster: Cluster, *, region: str | None = None) -> Estimate:
    """Return an estimate as it is on a cluster: its threads, its start, its price.

    Parameters
    ----------
    estimate
        Of any number of threads.
    cluster
        What the cluster's file says.
    region
        As for `rate_of`.
    """
    at_once, workers, rate = cluster.threads_at_once, _most_workers(cluster), rate_of(cluster, region=region)
    notes = []
    if at_once is None:
        notes.append("how many run at once only the scheduler knows: the time is that of one after the other")
    elif at_once.min < at_once.max:
        notes.append(f"the time is that of {at_once.max} at once, the most; fewer take longer for about the same money")
    if isinstance(cluster, Coiled):
        notes.append(f"of that {COILED_START_S / 60:.0f} min are allowed for the machines' start")
    if isinstance(cluster, Slurm):
        notes.append("the time in Slurm's queue is not in it")
    if rate is not None:
        notes.append(f"${rate.usd_per_hour:.4f} for an hour of {rate.worker}: {rate.note}")
    elif not isinstance(cluster, Local):
        notes.append(f"no price is known of {_worker(cluster)}: `price_per_hour` in the cluster file gives it")
    if not isinstance(cluster, Local):
        notes.append("engines are taken to be as fast there as where these ran, which another processor's are not")
    return replace(
        estimate,
        threads=1 if at_once is None else at_once.max,
        cluster=cluster_text(cluster),
        start_s=COILED_START_S if isinstance(cluster, Coiled) else 0.0,
        usd_per_hour=None if rate is None or workers is None else rate.usd_per_hour * workers,
        notes=(*estimate.notes, *notes),
    )


def bucket_region(url: str, options: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    """Return the region of an S3 bucket as far as settings tell it; None if they do not, or it is no S3.

    Parameters
    ----------
    url
        Of the store.
    options
        Its storage options.
    environ
        Variables of the environment.

    Examples
    --------
    >>> bucket_region("s3://b/x", {"client_kwargs": {"region_name": "eu-west-1"}}, {"AWS_REGION": "us-east-2"})
    'eu-west-1'
    >>> bucket_region("s3://b/x", {"endpoint_url": "https://s3.us-west-2.amazonaws.com"}, {})
    'us-west-2'
    >>> bucket_region("s3://b/x", {"endpoint_url": "https://minio.lab"}, {"AWS_REGION": "us-east-2"}) is None
    True
    """
    if protocol_of(url) != "s3":
        return None
    given = options.get("client_kwargs")
    client = given if isinstance(given, Mapping) else {}
    if region := client.get("region_name"):
        return str(region)
    endpoint = options.get("endpoint_url") or client.get("endpoint_url") or environ.get("AWS_ENDPOINT_URL_S3")
    endpoint = endpoint or environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        found = _AMAZON.search(str(endpoint))
        return found["region"] if found else None
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None


def distance_warning(cluster: Cluster, url: str, bucket: str | None) -> str:
    """Return what is to be said if a store and a cluster are in different places, a sentence; ``""`` if they are not.

    Parameters
    ----------
    cluster
        What the cluster's file says.
    url
        Of the store.
    bucket
        What `bucket_region` returned for it.
    """
    if not isinstance(cluster, Coiled):
        return ""
    if not protocol_of(url):
        return "the store is on this machine, which Coiled's machines do not reach: give a URL such as s3://bucket/name"
    if cluster.region is None or bucket is None or cluster.region == bucket:
        return ""
    return (
        f"the cluster is in {cluster.region} and the store in {bucket}: all that goes between them is paid for by the "
        "GB and takes longer; one region for both costs neither"
    )
