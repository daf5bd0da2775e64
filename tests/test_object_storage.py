"""Whole studies on a real S3 server: what they cost in requests, and what they survive."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import xarray as xr
from distributed import Client

import bemsweep as bs
from bemsweep.errors import BemsweepError, StoreError, StudyError
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from request_counts import below, counted_requests
from s3_servers import ADMIN_SECRET, KEY, SECRET, silent_port
from small_studies import CHICAGO, grid_of, read, run_study, small_study
from web_servers import served

RUN_OF_ITS_OWN = ("engine_s", "cpu_s", "total_s", "memory_bytes", "moved_bytes", "worker")
"""What no two runs of one variant have in common."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def store(s3):
    return Store(f"{s3.new_bucket()}/store", s3.options)


def design_days(store_url, name="office", lightings=(None, 6.0), **inputs):
    """A study of the real engine that takes a second or two a variant."""
    return bs.Study(
        name=name,
        baseline=inputs.pop("baseline", "bundled:ref/small_office"),
        weather=inputs.pop("weather", CHICAGO),
        run="design_day",
        parameters={"lighting": bs.Field("Lights", "watts_per_floor_area", values=list(lightings))},
        outputs=[
            bs.Meter("Electricity:Facility", frequency="hourly", as_="electricity"),
            bs.Variable("Zone Mean Air Temperature", frequency="hourly", as_="temperature"),
        ],
        **inputs,
    )


def comparable(tree):
    """Return the datasets of a tree without what no two runs have in common."""
    return {
        node.path: node.to_dataset(inherit=False).load().drop_vars(RUN_OF_ITS_OWN, errors="ignore").drop_attrs()
        for node in tree.subtree
    }


# 1: end to end


@pytest.mark.engine
def test_a_study_with_everything_on_s3_is_the_local_one_to_the_last_bit(s3, s3_env, tmp_path):
    from pyenergyplus import dataset

    home = s3.new_bucket()
    inputs = Store(home, s3.options)
    inputs.put("models/office.idf", Path(dataset.ref_models["small_office"]).read_bytes())
    inputs.put("weather/chicago.epw", Path(dataset.weather_files["usa_il_chicago"]).read_bytes())
    there = {"baseline": f"{home}/models/office.idf", "weather": {"chicago": f"{home}/weather/chicago.epw"}}
    bs.run(bs.plan(design_days(home, **there), store=f"{home}/store"))
    bs.run(bs.plan(design_days(None), store=tmp_path / "store"))

    local = comparable(bs.open_results(tmp_path / "store", "office"))
    ours = comparable(bs.open_results(f"{home}/store", "office"))
    url = f"{home}/store/studies/office/results.zarr"
    plain = comparable(xr.open_datatree(url, engine="zarr", storage_options=s3.options))
    assert local.keys() == ours.keys() == plain.keys()
    for path, dataset_ in local.items():
        # The baseline's label is its file's name, which is another one there.
        one, *others = (ds.drop_vars("baseline", errors="ignore") for ds in (dataset_, ours[path], plain[path]))
        for other in others:
            xr.testing.assert_identical(one, other)
    assert set(ours["/"].status.values) == {"succeeded"}


# 2: a server that goes away


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def test_a_server_that_stops_for_twenty_seconds_costs_nothing_but_them(own_s3, tmp_path):
    store = Store(f"{own_s3.new_bucket()}/store", own_s3.options)
    engine = FakeEngine(longest_s=0.2, counter=tmp_path / "starts")
    plan = bs.plan(small_study(parameters=grid_of(10, 20)), store=store, engine=engine)
    planned = engine.starts
    run = bs.run(plan, wait=False)
    wait_for(lambda: run.progress.done > 30)
    own_s3.stop()
    stopped, done = time.monotonic(), run.progress.done
    while time.monotonic() < stopped + 20:
        time.sleep(0.1)
        assert not run.is_done
    assert run.progress.done <= done + 10, "records were acknowledged that no server has"
    own_s3.start()
    run.wait()
    assert len(plan.to_run) == engine.starts - planned == run.progress.done, "nothing ran twice"
    assert set(read(store).status.values) == {"succeeded"}


def test_a_run_is_stopped_within_seconds_though_its_server_is_silent(own_s3):
    plan = bs.plan(
        small_study(parameters=grid_of(10, 20)),
        store=Store(f"{own_s3.new_bucket()}/store", own_s3.options),
        engine=FakeEngine(longest_s=0.2),
    )
    run = bs.run(plan, wait=False)
    wait_for(lambda: run.progress.done > 10)
    os.kill(own_s3._process.pid, signal.SIGSTOP)
    began = time.monotonic()
    run.cancel()
    with pytest.raises(StoreError, match="no answer from the server"):
        run.wait(60)
    assert time.monotonic() - began < 30


@pytest.mark.engine
def test_a_server_that_stays_away_ends_the_run_which_carries_on_later(own_s3, tmp_path):
    url = f"{own_s3.new_bucket()}/store"
    lightings = [float(watts) for watts in range(3, 15)]
    study = tmp_path / "office.yaml"
    study.write_text(
        "name: office\nbaseline: bundled:ref/small_office\nweather: bundled:usa_il_chicago\nrun: design_day\n"
        f"parameters:\n  lighting: {{object: Lights, field: watts_per_floor_area, values: {lightings}}}\n"
        "outputs: [{meter: 'Electricity:Facility', frequency: hourly, as: electricity}]\n"
    )
    command = [sys.executable, "-m", "bemsweep", "run", str(study), "--store", url, "--json"]
    environment = {**os.environ, **own_s3.environment, "BEMSWEEP_PATIENCE": "4"}
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
    store = Store(url, own_s3.options)
    wait_for(lambda: len(list(store.objects("records"))) > 3)
    own_s3.stop()
    out, err = run.communicate(timeout=120)
    assert run.returncode == 3, err
    assert "Traceback" not in err
    assert "Unclosed" not in err
    assert "no answer from the server" in err
    assert url in err
    assert "run again to carry on" in err
    assert SECRET not in out + err

    own_s3.start()
    before = len(list(store.objects("records")))
    again = subprocess.run(command, capture_output=True, env=environment, text=True, check=False)
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout)
    assert report["statuses"] == {"succeeded": len(lightings) + 1}
    assert report["ran"] == len(lightings) + 1 - before, "only what had no record"


# 3: a study that is there already


def test_ten_thousand_records_are_found_in_ten_seconds(store):
    study = small_study(parameters=grid_of(100, 100))
    plan = bs.plan(study, store=store, engine=FakeEngine())
    store.fs.pipe({store.path(store.record_name(variant)): b"record" for variant in plan.variant_ids})
    began = time.monotonic()
    with counted_requests() as requests:
        again = bs.plan(study, store=store, engine=FakeEngine())
    assert time.monotonic() - began < 10
    assert len(again.variant_ids) > 10_000
    assert again.to_run == ()
    assert sum(requests.values()) <= 11 + 10, "one listing per thousand, and what any plan costs"
    assert not [
        request for request in requests if request[0] in ("HeadObject", "GetObject") and "records" in request[1]
    ]


# 4: faults at the start


FAULTS = {
    "key": (StudyError, "does not know this access key"),
    "secret": (StudyError, "the secret does not fit the access key"),
    "bucket": (StudyError, "there is no such bucket"),
    "read_only": (StudyError, "these credentials may not do that"),
    "closed": (StoreError, "no answer from the server"),
    "silent": (StoreError, "no answer from the server"),
    "nothing": (StudyError, "there are no credentials"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_the_start_is_told_at_once_and_what_to_do(s3, fault, monkeypatch):
    expected, message = FAULTS[fault]
    url = "s3://no-such-bucket/store" if fault == "bucket" else f"{s3.new_bucket()}/store"
    with silent_port() as silent:
        options = {
            "key": {**s3.options, "key": "unknown"},
            "secret": {**s3.options, "secret": "wrong-secret"},
            "bucket": s3.options,
            "read_only": s3.read_only_options,
            "closed": {**s3.options, "endpoint_url": "http://127.0.0.1:9"},
            "silent": {**s3.options, "endpoint_url": f"http://127.0.0.1:{silent}"},
            "nothing": {"endpoint_url": s3.endpoint_url},
        }[fault]
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        began = time.monotonic()
        with pytest.raises(expected) as told:
            bs.plan(small_study(), store=url, storage_options=options, engine=FakeEngine())
        assert time.monotonic() - began < 30
    assert message in str(told.value)
    assert url in str(told.value)
    assert not any(secret in str(told.value) for secret in (SECRET, ADMIN_SECRET, "wrong-secret"))


def test_a_web_page_is_no_store(monkeypatch):
    """Such as the console of a MinIO, which is on the next port and answers everything."""
    for name, value in {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    with web_page() as url, pytest.raises(StudyError, match="check AWS_ENDPOINT_URL and its port"):
        bs.plan(small_study(), store="s3://bucket/x", storage_options={"endpoint_url": url}, engine=FakeEngine())


def web_page():
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b"<html>hello</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_DELETE = do_POST = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_):
            pass

    return served(Page)


@pytest.mark.parametrize(("fault", "status"), [("closed", 3), ("secret", 2)])
def test_the_command_line_tells_what_is_worth_another_try(s3, tmp_path, fault, status):
    study = tmp_path / "small.yaml"
    study.write_text(
        "name: small\nbaseline: bundled:ref/small_office\nweather: bundled:usa_il_chicago\noutputs: [summary]\n"
    )
    changed = {"closed": {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "secret": {"AWS_SECRET_ACCESS_KEY": "wrong-one"}}
    command = [sys.executable, "-m", "bemsweep", "plan", str(study), "--store", s3.new_bucket()]
    environment = {**os.environ, **s3.environment, **changed[fault]}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    assert FAULTS[fault][1] in done.stderr
    assert "Traceback" not in done.stderr


# What a study costs


def test_a_variant_costs_a_request_to_write_and_one_to_pack(store):
    variants = 300
    with counted_requests() as requests:
        run = run_study(small_study(parameters=grid_of(15, 20)), store, FakeEngine())
    assert run.progress.done == variants + 1
    assert below(requests, "records/") - listings(requests) <= 2 * run.progress.done
    assert below(requests, "raw/") == 0
    rest = sum(requests.values()) - below(requests, "records/")
    assert rest < 2 * variants, f"{rest} requests for the inputs, the study and two blocks"


def listings(requests):
    return sum(count for (operation, _), count in requests.items() if operation == "ListObjectsV2")


def test_carrying_on_costs_what_is_left(store, tmp_path):
    study = small_study(parameters=grid_of(15, 20))
    run_study(study, store, FakeEngine(), limit=291)
    engine = FakeEngine(counter=tmp_path / "starts")
    with counted_requests() as requests:
        plan = bs.plan(study, store=store, engine=engine)
        run = bs.run(plan)
    assert run.progress.done == engine.starts == 10
    puts = sum(count for (operation, key), count in requests.items() if operation == "PutObject" and "records/" in key)
    gets = sum(count for (operation, key), count in requests.items() if operation == "GetObject" and "records/" in key)
    assert puts == 10
    assert gets <= 256 + 10, "the block that was open is packed anew, the other one is not read"
    with counted_requests() as requests:
        run_study(study, store, FakeEngine())
    assert sum(requests.values()) <= 45, "nothing is left, and of what there is ten are for the lease"
    assert listings(requests) <= 10, "records twice, the variant table by plan and run, and who is at work six times"


def test_bytes_that_a_variant_has_moved_are_its_inputs_raw_files_and_record(store, tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    run = run_study(small_study(keep=["eplusout.eso"]), store, FakeEngine(raw_files={"eplusout.eso": 5000}))
    told = run.status().set_index("variant_id")["moved_bytes"]
    sizes = {one.name: one.size_bytes for one in store.objects()}
    for variant in told.index:
        assert told[variant] >= sizes[store.record_name(variant)] + 5000
    moved = [size for name, size in sizes.items() if name.partition("/")[0] in ("inputs", "records", "raw")]
    assert told.sum() == sum(moved), "each input once on a machine"


# Who shares a store


def test_a_store_that_the_workers_do_not_share_is_refused():
    engine = FakeEngine()
    plan = bs.plan(small_study(), store="memory://of-this-process", engine=engine)
    with (
        Client(n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as client,
        pytest.raises(StudyError, match="workers do not share the store memory://of-this-process"),
    ):
        bs.run(plan, client=client)
    assert not list(plan.store.objects("records"))


def test_a_probe_leaves_nothing(store, tmp_path):
    for one in (store, Store(tmp_path / "store")):
        run_study(small_study(), one, FakeEngine())
        assert not [found.name for found in one.objects() if "probe-" in found.name]


# Secrets


def test_no_secret_is_in_the_store_or_the_logs(store, caplog):
    caplog.set_level(logging.INFO)
    run = run_study(small_study(), store, FakeEngine(faults={2: "fail", 3: "infrastructure"}))
    assert run.progress.done > 5
    for found in list(store.objects()):
        data = store.get(found.name)
        assert SECRET.encode() not in data, found.name
        assert KEY.encode() not in data, found.name
    told = caplog.text + repr(run.plan) + repr(run) + repr(store) + run.plan._repr_html_()
    assert SECRET not in told
    assert KEY not in told


def test_an_error_shows_no_secret(s3):
    options = {**s3.options, "endpoint_url": f"http://user:{SECRET}@127.0.0.1:9"}
    with pytest.raises(BemsweepError) as told:
        bs.plan(small_study(), store=s3.new_bucket(), storage_options=options, engine=FakeEngine())
    assert SECRET not in str(told.value)


# Where the configuration comes from


def test_the_store_of_the_environment_is_the_default(s3_env, monkeypatch):
    url = f"{s3_env.new_bucket()}/mine"
    monkeypatch.setenv("BEMSWEEP_STORE", url)
    plan = bs.plan(small_study(), engine=FakeEngine())
    assert plan.store.url == url


def test_options_in_code_come_before_the_environment(s3, s3_env, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(StudyError, match="the secret does not fit"):
        bs.plan(small_study(), store=s3.new_bucket(), engine=FakeEngine())
    bs.plan(small_study(), store=s3.new_bucket(), storage_options=s3.options, engine=FakeEngine())


def test_a_profile_of_the_sdk_comes_after_the_environment(s3, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "credentials").write_text(f"[lab]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    (tmp_path / "config").write_text(f"[profile lab]\nregion = us-east-1\nendpoint_url = {s3.endpoint_url}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    Store(s3.new_bucket()).check_writable()
    monkeypatch.delenv("AWS_PROFILE")
    Store(s3.new_bucket(), {"profile": "lab"}).check_writable()


def test_an_env_file_is_read_if_asked_for(s3, tmp_path):
    url = f"{s3.new_bucket()}/store"
    lines = [f"{name}={value}" for name, value in {**s3.environment, "BEMSWEEP_STORE": url}.items()]
    (tmp_path / "lab.env").write_text("\n".join(lines))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BEMSWEEP_"))}
    command = [sys.executable, "-m", "bemsweep", "--env-file", str(tmp_path / "lab.env"), "studies", "list"]
    done = subprocess.run(command, capture_output=True, text=True, env=clean, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "bemsweep-store").exists()
    missing = subprocess.run(
        [*command[:4], "no.env", *command[5:]], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert missing.returncode == 2
    assert "no.env" in missing.stderr


def test_a_worker_that_cannot_reach_the_store_is_told_at_once(s3, monkeypatch):
    """Its credentials come from its own environment, which is another one than the client's."""
    url = s3.new_bucket()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint_url)
    with Client(n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as client:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"cannot write probe-.* there are no credentials"):
            run_study(small_study(), url, FakeEngine(), client=client)
        assert time.monotonic() - began < 30
