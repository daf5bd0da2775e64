"""What the demo study is and costs with store, model and weather on a real S3 server, and what carrying on costs.

Prints whether it is the local one to the last bit, and requests and seconds. The server is SeaweedFS, on this machine.
Run with ``make object-storage``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import xarray as xr
from pyenergyplus import dataset

import bemsweep as bs
from bemsweep.store import Store
from bemsweep.testing import FakeEngine

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from request_counts import below, counted_requests  # noqa: E402 - where the tests keep it
from s3_servers import SeaweedServer  # noqa: E402

RUN_OF_ITS_OWN = ("engine_s", "cpu_s", "total_s", "memory_bytes", "moved_bytes", "worker")
"""What no two runs of one variant have in common."""
RECORDS = 10_000


def main() -> None:
    """Print all of it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BEMSWEEP_CACHE_DIR"] = f"{folder}/cache"
        server = SeaweedServer(f"{folder}/seaweed").start()
        try:
            end_to_end(server, Path(folder))
            carrying_on(server)
        finally:
            server.stop()


def end_to_end(server: SeaweedServer, folder: Path) -> None:
    """Run the demo on the server and here, and compare every value."""
    home = Store(server.new_bucket(), server.options)
    home.put("small_office.idf", Path(dataset.ref_models["small_office"]).read_bytes())
    home.put("chicago.epw", Path(dataset.weather_files["usa_il_chicago"]).read_bytes())
    text = (ROOT / "examples" / "office.yaml").read_text()
    text = text.replace(
        "baseline: bundled:ref/small_office", f"baseline: {{small_office: {home.url}/small_office.idf}}"
    )
    text = text.replace("bundled:usa_il_chicago", f"{home.url}/chicago.epw")
    (folder / "office.yaml").write_text(text)
    with counted_requests() as requests:
        study = bs.Study.from_yaml(folder / "office.yaml")
        store = f"{home.url}/store"
        run = bs.run(bs.plan(study, store=store, storage_options=server.options))
    records = below(requests, "records/", ("PutObject", "GetObject"))
    now = run.progress
    print(f"demo on S3: {now.done} variants in {now.elapsed_s:.0f} s, {sum(requests.values())} requests")
    print(f"  {records} of them write or read records: {records / now.done:.1f} a variant")
    local = bs.run(bs.plan(bs.Study.from_yaml(ROOT / "examples" / "office.yaml"), store=ROOT / "demo-store"))
    print(f"demo here: {local.progress.done} variants run now in {local.progress.elapsed_s:.0f} s")
    here = comparable(bs.open_results(ROOT / "demo-store", "office"))
    with counted_requests() as requests:
        tree = bs.open_results(store, "office", storage_options=server.options)
    print(f"opening the results: {sum(requests.values())} requests")
    url = f"{store}/studies/office/results.zarr"
    plain = xr.open_datatree(url, engine="zarr", storage_options=server.options)
    for name, there in (("bemsweep", comparable(tree)), ("plain xarray", comparable(plain))):
        if here.keys() != there.keys():
            raise SystemExit(f"{name} sees other groups: {there.keys()}")
        for path, expected in here.items():
            xr.testing.assert_identical(expected, there[path])
        print(f"every value, label and status read by {name} is the local one's, to the last bit")


def comparable(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """Return the datasets of a tree without what no two runs have in common."""
    return {
        node.path: node.to_dataset(inherit=False).load().drop_vars(RUN_OF_ITS_OWN, errors="ignore").drop_attrs()
        for node in tree.subtree
    }


def carrying_on(server: SeaweedServer) -> None:
    """Plan a study that has all of its many records."""
    study = bs.Study(
        name="many",
        baseline="bundled:ref/small_office",
        weather={"chicago": "bundled:usa_il_chicago"},
        parameters={
            "lighting": bs.Field("Lights", "watts_per_floor_area", values=[float(n) for n in range(1, 101)]),
            "north": bs.Field("Building", "north_axis", values=[float(n) for n in range(RECORDS // 100)]),
        },
        outputs=[bs.Meter("Electricity:Facility", frequency="monthly", as_="electricity")],
    )
    store = Store(f"{server.new_bucket()}/store", server.options)
    plan = bs.plan(study, store=store, engine=FakeEngine())
    store.fs.pipe({store.path(store.record_name(variant)): b"record" for variant in plan.variant_ids})
    began = time.perf_counter()
    with counted_requests() as requests:
        again = bs.plan(study, store=store, engine=FakeEngine())
    seconds = time.perf_counter() - began
    stored = again.counts()["stored"]
    print(f"planning with {stored:,} records there: {seconds:.1f} s and {sum(requests.values())} requests")


if __name__ == "__main__":
    main()
