from __future__ import annotations

from dataclasses import replace

import pytest

from bemsweep.errors import InfrastructureError, StoreError
from bemsweep.host_client import open_engine
from bemsweep.outcome import judge
from bemsweep.scratch import open_scratch
from engine_jobs import TEMPERATURE, job
from small_disks import mounted


@pytest.fixture(scope="module")
def engine():
    with open_engine() as opened:
        yield opened


@pytest.mark.parametrize(
    ("options", "why"),
    {
        "too small": ("size=200k", r"has no space left \(204,800 bytes"),
        "no inodes": ("size=8m,nr_inodes=9", "has no room for more files"),
        "read-only": ("size=8m,ro", "is read-only"),
    }.values(),
    ids=["too small", "no inodes", "read-only"],
)
def test_what_a_scratch_folder_lacks_is_told_before_a_run(tmp_path, monkeypatch, options, why):
    with mounted(tmp_path / "disk", options) as disk:
        monkeypatch.setenv("BEMSWEEP_SCRATCH", str(disk))
        with pytest.raises(InfrastructureError, match=f"{disk} {why}.*set BEMSWEEP_SCRATCH"), open_scratch():
            pass
        assert list(disk.iterdir()) == []


def test_a_missing_scratch_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_SCRATCH", str(tmp_path / "none"))
    with pytest.raises(InfrastructureError, match="none does not exist: make room there, or set BEMSWEEP_SCRATCH"):
        open_scratch().__enter__()


@pytest.mark.engine
@pytest.mark.parametrize("left", [90_000, 450_000], ids=["while writing the model", "while the engine runs"])
def test_a_disk_that_fills_up_in_a_run_is_told_with_its_folder(engine, tmp_path, monkeypatch, left):
    outputs = tuple(replace(TEMPERATURE, frequency=frequency, array=frequency) for frequency in ("timestep", "hourly"))

    def run_beside(others: bytes) -> tuple[str, str]:
        with open_scratch() as scratch:
            (scratch / "others").write_bytes(others)
            return judge(engine.run(job(outputs=outputs), scratch, timeout_s=60))

    with mounted(tmp_path / "disk", "size=2m") as disk:
        monkeypatch.setenv("BEMSWEEP_SCRATCH", str(disk))
        told = f"scratch folder {disk} has no space left.*bytes.*BEMSWEEP_SCRATCH"
        with pytest.raises(InfrastructureError, match=told):
            run_beside(bytes(2 * 2**20 - 8192 - left))
        assert list(disk.iterdir()) == []
        assert run_beside(b"") == ("succeeded", "")


def test_a_fault_that_is_not_the_disks_stays_as_it_is(tmp_path, monkeypatch):
    for error in (InfrastructureError("killed"), StoreError("away"), KeyError("x"), FileNotFoundError(2, "none", "x")):
        with pytest.raises(type(error)) as caught, open_scratch():
            raise error
        assert caught.value is error
