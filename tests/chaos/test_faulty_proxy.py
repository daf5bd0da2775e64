"""The proxy fails as it says, by its seed, and breaks nothing that it lets pass."""

from __future__ import annotations

import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from bemsweep.errors import StoreError
from bemsweep.faults import Fault
from bemsweep.store import Store
from chaos.faulty_proxy import KINDS, FaultPlan, FaultyProxy
from s3_servers import SeaweedServer

ALWAYS = {kind: FaultPlan(1, 1.0, (kind,), silence_s=0.3) for kind in KINDS}


def through(proxy: FaultyProxy, s3: SeaweedServer) -> Store:
    return Store(s3.new_bucket(), {**s3.options, "endpoint_url": proxy.endpoint_url})


def raw_answer(proxy: FaultyProxy, request: bytes) -> bytes:
    """Return what comes back to the last byte; raises if the connection is reset before any."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall(request)
        found = b""
        try:
            while piece := connection.recv(65536):
                found += piece
        except ConnectionResetError:
            if not found:
                raise
    return found


def test_without_faults_it_changes_nothing(s3: SeaweedServer) -> None:
    with FaultyProxy(s3.port, FaultPlan(1, 0.0)) as proxy:
        proxy.is_on = True
        store = through(proxy, s3)
        data = bytes(range(256)) * 4000
        store.put("inputs/some thing/ü+%.bin", data)
        assert store.get("inputs/some thing/ü+%.bin") == data
        assert store.names("inputs") == ["some thing"]
        store.delete_folder("inputs")
        assert store.get("inputs/some thing/ü+%.bin") is None
        assert proxy.requests >= 5
    assert not proxy.injected


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_reaches_the_client_as_one_that_passes(s3: SeaweedServer, kind: str) -> None:
    with FaultyProxy(s3.port, ALWAYS[kind]) as proxy:
        store = through(proxy, s3)
        store.put("before", b"here")
        proxy.is_on = True
        with pytest.raises(StoreError) as caught:
            store.put("after", b"there")
        assert caught.value.fault in (Fault.SERVER, Fault.THROTTLED, Fault.UNREACHABLE)
        proxy.is_on = False
        assert set(proxy.injected) == {kind}
        is_there = store.get("after") == b"there"
        assert is_there == (kind in ("lost answer", "truncated")), "whether the server did the work"


def test_a_truncated_answer_is_cut_in_its_body(s3: SeaweedServer) -> None:
    request = b"GET /nothing/here HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
    with FaultyProxy(s3.port, ALWAYS["truncated"]) as proxy:
        whole = raw_answer(proxy, request)
        proxy.is_on = True
        cut = raw_answer(proxy, request)
    head, _, body = whole.partition(b"\r\n\r\n")
    assert cut.count(b"\r\n\r\n") == 1
    assert len(cut) == len(head) + 4 + len(body) // 2


def test_silence_lasts(s3: SeaweedServer) -> None:
    with FaultyProxy(s3.port, ALWAYS["silence"]) as proxy:
        proxy.is_on = True
        began = time.monotonic()
        with pytest.raises(ConnectionResetError):
            raw_answer(proxy, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert 0.3 <= time.monotonic() - began < 5


def test_the_same_seed_gives_the_same_faults() -> None:
    one, other = ([FaultPlan(seed, 0.1).fault_of(number) for number in range(3000)] for seed in (7, 8))
    assert one == [FaultPlan(7, 0.1).fault_of(number) for number in range(3000)]
    assert one != other
    counts = Counter(one)
    assert 200 < counts.total() - counts[None] < 400
    assert set(counts) == {None, *KINDS}


def test_a_patient_store_gets_through(s3: SeaweedServer, tmp_path: Path) -> None:
    plan = FaultPlan(3, 0.3, silence_s=0.2)
    with FaultyProxy(s3.port, plan) as proxy:
        proxy.is_on = True
        store = through(proxy, s3).patient(60)
        for number in range(12):
            store.put(f"x/{number}", b"%d" % number * 1000)
        assert [store.get(f"x/{number}") for number in range(12)] == [b"%d" % number * 1000 for number in range(12)]
        assert len(store.names("x")) == 12
        assert proxy.injected.total() > 3
