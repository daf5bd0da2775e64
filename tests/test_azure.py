"""Whole studies on Azure's storage, as Azurite serves it: an emulator by Microsoft, from npm (`make azure`)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import fsspec
import pytest

import bemsweep as bs
from bemsweep.errors import StoreError
from bemsweep.faults import Fault
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from s3_servers import die_with_parent, free_ports
from small_studies import assert_same_cubes, read, run_study, small_study
from store_uses import use

# The account that every Azurite has; Microsoft publishes its key.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# aiohttp, of what Azure's library sends whole.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

INSTALLED = Path(__file__).parent.parent / ".azurite" / "node_modules" / ".bin" / "azurite-blob"


@pytest.fixture(scope="module")
def azurite(tmp_path_factory):
    """The connection string of a server of this file, with a container called ``box``."""
    command = INSTALLED if INSTALLED.exists() else shutil.which("azurite-blob")
    if command is None or shutil.which("node") is None:
        pytest.skip("needs node and azurite: make azure")
    folder, (port,) = tmp_path_factory.mktemp("azurite"), free_ports(1)
    with (folder / "azurite.log").open("ab") as log:
        server = subprocess.Popen(
            [
                command, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--silent",
                "--skipApiVersionCheck", "--disableTelemetry",
            ],
            cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks the kernel
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "azurite.log").read_text()
                assert time.monotonic() < deadline, "it never listened"
            time.sleep(0.05)
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        text = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
        fsspec.filesystem("abfs", connection_string=text, skip_instance_cache=True).mkdir("box")
        yield text
    finally:
        server.kill()
        server.wait()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize("protocol", ["az", "abfs"])
def test_all_that_is_done_with_a_store_works_on_azure(azurite, tmp_path, protocol):
    use(Store(f"{protocol}://box/{protocol}", {"connection_string": azurite}), tmp_path)


def test_the_environment_configures_it_and_results_are_the_local_ones(azurite, tmp_path, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
    run_study(small_study(), "abfs://box/environment", FakeEngine())
    run_study(small_study(), tmp_path / "local", FakeEngine())
    assert_same_cubes(read("abfs://box/environment"), read(tmp_path / "local"))


def test_what_is_there_is_not_created_again(azurite):
    store = Store("az://box/created", {"connection_string": azurite})
    assert [store.create("a", b"1"), store.create("a", b"2"), store.create("a", b"1")] == [True, False, True]


def test_what_is_wrong_is_told_without_the_key(azurite):
    wrong = {"connection_string": azurite.replace("AccountKey=E", "AccountKey=F")}
    for url, options, fault in (
        ("az://no-such-box/x", {"connection_string": azurite}, Fault.NO_BUCKET),
        ("az://box/x", wrong, Fault.FORBIDDEN),
    ):
        with pytest.raises(StoreError) as told:
            Store(url, options).check_writable()
        assert told.value.fault == fault
        assert KEY not in str(told.value)
        assert wrong["connection_string"] not in str(told.value)


@pytest.mark.engine
def test_a_real_study_on_azure(azurite, tmp_path):
    study = bs.Study(
        name="office",
        baseline="bundled:ref/small_office",
        weather={"chicago": "bundled:usa_il_chicago"},
        run="design_day",
        outputs=[bs.Meter("Electricity:Facility", frequency="hourly", as_="electricity")],
    )
    stores = Store("abfs://box/real", {"connection_string": azurite}), Store(tmp_path / "local")
    for store in stores:
        bs.run(bs.plan(study, store=store))
    there, here = (read(store, "office", "hourly") for store in stores)
    assert there.electricity.identical(here.electricity)
