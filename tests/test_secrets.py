"""No secret in a record, key, log, dashboard or report: a study runs with secrets, and all that others see is read."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urljoin

import pytest
from distributed import Client, LocalCluster

import bemsweep as bs
from bemsweep.errors import StoreError
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from s3_servers import KEY, SECRET
from small_studies import grid_of, run_study, small_study

OF_ENVIRONMENT = "environment-secret-93ab71"
OF_URL = "secret-of-a-url-55aa"
SECRETS = (SECRET, KEY, OF_ENVIRONMENT)
PAGES = ("/", "/status", "/info/main/workers.html", "/json/index.html", "/sitemap.json", "/metrics", "/health")
"""Where the reading begins; the rest is found by links."""


def told_of(text):
    return [secret for secret in SECRETS if secret in text]


def pages_of(root):
    """Return all pages below an address that links lead to from `PAGES`, with their texts."""
    found, todo = {}, [root + page for page in PAGES]
    while todo:
        url = todo.pop()
        if url in found or "/statics/" in url or "/static/" in url:
            continue
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                text = answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
        found[url] = text
        links = (urljoin(url, link).partition("#")[0] for link in re.findall(r'(?:href|src)="([^"]+)"', text))
        todo += [link for link in links if link.startswith(root + "/")]
    return found


def state_of(dask_scheduler=None):
    """Return what the scheduler knows of tasks, workers and events, from which all pages are made."""
    tasks = [
        (key, task.prefix.name, task.annotations, repr(task.exception_text))
        for key, task in dask_scheduler.tasks.items()
    ]
    workers = [(worker.identity(), worker.metrics, worker.extra) for worker in dask_scheduler.workers.values()]
    return repr((tasks, workers, dask_scheduler.get_events(), dask_scheduler.task_metadata, dask_scheduler.identity()))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A client of a cluster of processes whose environment, as this one's, holds a secret."""
    addresses = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LAB_API_TOKEN", OF_ENVIRONMENT)
        environment.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        with (
            LocalCluster(n_workers=1, threads_per_worker=2, processes=True, **addresses) as one,
            Client(one, set_as_default=False) as client,
        ):
            yield client


def test_nothing_that_others_see_holds_a_secret(s3, cluster, caplog, tmp_path):
    caplog.set_level(logging.DEBUG, logger="bemsweep")
    store = Store(f"{s3.new_bucket()}/store", s3.options)
    engine = FakeEngine(longest_s=0.2, faults={4: "fail", 6: "infrastructure"}, counter=tmp_path / "starts")
    run = bs.run(
        bs.plan(small_study(parameters=grid_of(5, 10)), store=store, engine=engine), client=cluster, wait=False
    )
    deadline = time.monotonic() + 60
    while run.progress.done < 8:
        assert time.monotonic() < deadline, "it never began"
        time.sleep(0.01)
    roots = [cluster.dashboard_link.rpartition("/")[0]]
    roots += [
        f"http://{worker['host']}:{worker['services']['dashboard']}"
        for worker in cluster.scheduler_info(n_workers=-1)["workers"].values()
    ]
    pages = {url: text for root in roots for url, text in pages_of(root).items()}
    state = cluster.run_on_scheduler(state_of)
    assert not run.is_done, "it was read while it ran"
    run.wait()
    assert any("/info/task/" in url for url in pages), "tasks were among it"
    assert any("/json/" in url for url in pages)
    assert len(pages) > 10
    logs = [str(cluster.get_scheduler_logs()), str(cluster.get_worker_logs()), str(cluster.get_events())]
    reports = [
        repr(run),
        run._repr_html_(),
        repr(run.plan),
        run.plan._repr_html_(),
        str(run.account),
        run.errors().to_csv(),
    ]
    reports += [
        run.status().to_csv(),
        repr(bs.open_results(store, "small")),
        json.dumps(run.plan.counts(), default=str),
    ]
    assert "bemsweep-small" in logs[1], "workers tell of the run"
    told = {**pages, "scheduler": state, "logs": "".join(logs), "reports": "".join(reports), "log here": caplog.text}
    assert {where: told_of(text) for where, text in told.items() if told_of(text)} == {}
    objects = {one.name: store.get(one.name) for one in store.objects()}
    assert [name for name, data in objects.items() for secret in SECRETS if secret.encode() in data] == []


def test_what_the_reading_would_find_is_found(cluster):
    """A secret in a task's key is on the scheduler's pages, so that those above are the right ones."""
    future = cluster.submit(int, "1", key=f"key-{OF_ENVIRONMENT}")
    assert future.result() == 1
    root = cluster.dashboard_link.rpartition("/")[0]
    assert any(told_of(text) for text in pages_of(root).values())
    assert told_of(cluster.run_on_scheduler(state_of))


def quoting(model, value):
    """An edit whose error quotes a secret, as an error of a web service does."""
    raise RuntimeError(f"401 of https://host/x?token={os.environ['LAB_PLACE']} for {os.environ['LAB_API_TOKEN']}")


@pytest.mark.engine
def test_a_message_of_a_users_function_is_recorded_without_what_it_quotes(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_API_TOKEN", OF_ENVIRONMENT)
    monkeypatch.setenv("LAB_PLACE", OF_URL)  # no name of a secret
    study = small_study(run="design_day", parameters={"p": bs.Call(quoting, values=[1])}, reference=False)
    study = study.model_copy(
        update={"outputs": [bs.Meter("Electricity:Facility", frequency="hourly", as_="electricity")]}
    )
    with contextlib.suppress(StoreError):
        bs.run(bs.plan(study, store=tmp_path))
    (message,) = bs.results.errors(tmp_path, "small")["message"]
    assert "401 of https://host/x?token=***" in message
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert OF_ENVIRONMENT.encode() not in stored
    assert OF_URL.encode() not in stored


def test_no_command_prints_a_secret_of_the_environment(tmp_path):
    run_study(small_study(), tmp_path, FakeEngine(faults={3: "fail"}))
    secrets = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "LAB_API_TOKEN": OF_ENVIRONMENT}
    for command in (["errors", "small"], ["storage", "check", str(tmp_path), "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "bemsweep", *command],
            env={**os.environ, **secrets, "BEMSWEEP_STORE": str(tmp_path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout
        assert told_of(done.stdout + done.stderr) == []
