from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bemsweep as bs
from bemsweep import run_logs
from bemsweep.cli import app
from bemsweep.errors import BemsweepError, StoreError
from bemsweep.log_lines import of_run, tell, tell_warning
from bemsweep.run_logs import RUNS_KEPT, forget_logs, log_name, open_log, read_logs, runs_logged
from bemsweep.store import Store
from bemsweep.studies import delete_study, find_deletion
from bemsweep.testing import FakeEngine
from engine_jobs import wait_until
from small_studies import local_client, run_study, small_study

RUN = "20261120T100000.000000Z"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_lines_come_back_in_the_order_of_time(store: Store) -> None:
    log = open_log(store, "small", RUN, "one")
    with of_run(RUN, "a" * 64):
        tell("begun")
        tell_warning("é\x1b[2J\nsecond line")
    with of_run("another run"):
        tell("not ours")
    log.close()
    first, second = read_logs(store, "small")
    assert (first.text, first.level, first.variant, first.run) == ("begun", "INFO", "a" * 64, RUN)
    assert (second.text, second.level) == ("é\x1b[2J\nsecond line", "WARNING")
    assert "-one-" in first.worker
    assert read_logs(store, "small", variant="aa") == [first, second]
    assert read_logs(store, "small", variant="b") == []
    assert read_logs(store, "small", run="2026") == [first, second]


def test_all_of_a_process_share_a_log_and_the_last_one_writes_it(store: Store) -> None:
    logs = [open_log(store, "small", RUN, who) for who in ("driver", "0", "1")]
    assert len(set(logs)) == 1
    for log in logs:
        tell("still here")
        log.close()
    assert len(read_logs(store, "small")) == 3
    assert len(store.names(f"studies/small/logs/{RUN}")) == 1
    assert not logging.getLogger("bemsweep").handlers


def test_what_is_new_is_written_while_the_run_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_logs, "_WRITE_INTERVAL_S", 0.01)
    log = open_log(store, "small", RUN, "one")
    tell("first")
    wait_until(lambda: runs_logged(store, "small"), timeout_s=10)
    wait_until(lambda: len(read_logs(store, "small")) == 1, timeout_s=10)
    tell("second")
    wait_until(lambda: len(read_logs(store, "small")) == 2, timeout_s=10)
    log.close()


def test_nothing_told_nothing_written(store: Store) -> None:
    open_log(store, "small", RUN, "one").close()
    assert list(store.objects()) == []


def test_many_lines_neither_grow_nor_push_out_warnings(store: Store) -> None:
    log = open_log(store, "small", RUN, "one")
    tell_warning("look: " + 5000 * "x")
    began = time.perf_counter()
    for number in range(20_000):
        tell(f"variant {number}")
    assert (time.perf_counter() - began) / 20_000 < 100e-6
    log.close()
    lines = read_logs(store, "small")
    assert len(lines) == 1001
    assert (lines[0].level, len(lines[0].text)) == ("WARNING", 1001)
    assert lines[-1].text == "variant 19999"


def test_no_secret_is_in_a_log(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", {"auto_mkdir": True, "extra": {"password": "hunter2hunter2"}})
    log = open_log(store, "small", RUN, "one")
    log._store.storage_options = {"password": "hunter2hunter2"}
    tell("cannot reach ftp://me:other-secret@host/x?sig=abcdef with hunter2hunter2")
    log.close()
    (line,) = read_logs(Store(tmp_path / "store"), "small")
    assert line.text == "cannot reach ftp://***@host/x?sig=*** with ***"


def test_a_store_that_fails_ends_nothing_and_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_logs, "_WRITE_INTERVAL_S", 0.01)
    put, failed = Store.put, []

    def fail_first(self: Store, name: str, data: bytes) -> None:
        if len(failed) < 3:
            failed.append(name)
            raise StoreError("scripted")
        put(self, name, data)

    monkeypatch.setattr(Store, "put", fail_first)
    log = open_log(store, "small", RUN, "one")
    tell("kept")
    wait_until(lambda: runs_logged(store, "small"), timeout_s=10)
    log.close()
    assert [line.text for line in read_logs(store, "small")] == ["kept"]


def test_only_the_last_runs_stay(store: Store) -> None:
    for number in range(RUNS_KEPT + 2):
        store.put(f"studies/small/logs/2026112{number}T100000.000000Z/one.jsonl", b"")
    forget_logs(store, "small")
    assert len(runs_logged(store, "small")) == RUNS_KEPT - 1
    assert runs_logged(store, "small")[-1].startswith(f"2026112{RUNS_KEPT + 1}")
    assert log_name() > runs_logged(store, "small")[-1]


def test_what_cannot_be_read_is_passed_over(store: Store) -> None:
    good = {"at": "2026-11-20T10:00:00+00:00", "level": "INFO", "variant": "", "text": "good"}
    bad = [b"{", b"[]", b"null", b'{"at": 3}', b"\xff", json.dumps({**good, "at": "now"}).encode(), 10_000 * b"["]
    store.put(f"studies/small/logs/{RUN}/one.jsonl", b"\n".join([*bad, json.dumps(good).encode()]))
    assert [line.text for line in read_logs(store, "small")] == ["good"]


def test_a_run_that_has_no_logs_is_told(store: Store) -> None:
    with pytest.raises(BemsweepError, match="there are no logs of 'small'"):
        read_logs(store, "small")
    store.put(f"studies/small/logs/{RUN}/one.jsonl", b"")
    with pytest.raises(BemsweepError, match=f"no logs of a run 2027 of 'small' in .*; kept are {RUN}"):
        read_logs(store, "small", run="2027")


def failing(job, attempt):
    """The first try of each variant with an edit is the machine's fault, and what has two fails."""
    if job.calendar is None:
        return None
    return "infrastructure" if len(job.edits) == 1 and attempt == 1 else "fail" if len(job.edits) == 2 else None


def test_a_run_tells_what_became_of_each_variant_and_goes_with_its_study(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run = run_study(small_study(), store, FakeEngine(faults=failing))
    assert run.progress.failed == 2
    lines = read_logs(store, "small")
    assert lines[0].text == "6 variants to run"
    assert set(lines[-1].text.split(", ")) == {"4 succeeded", "2 failed"}
    by_variant = {variant: [line for line in lines if line.variant == variant] for variant in set(run.plan.variant_ids)}
    table = run.status().set_index("variant_id")
    for variant, told in by_variant.items():
        texts = [line.text for line in told]
        assert texts.count("begun") == (2 if any("not finished" in text for text in texts) else 1)
        (end,) = [line for line in told if " in the engine, with " in line.text]
        assert end.text.startswith(table["status"][variant])
        assert (end.level == "WARNING") == (table["status"][variant] == "failed")
    assert sum("not finished: InfrastructureError: scripted" in line.text for line in lines) == 3
    assert sum("a try failed: InfrastructureError" in line.text for line in lines) == 3
    variant = run.plan.variant_ids[0]
    outcome = CliRunner().invoke(app, ["logs", "small", variant[:6], "--store", str(tmp_path / "store")])
    assert outcome.exit_code == 0
    shown = outcome.stdout.splitlines()
    assert len(shown) == len(by_variant[variant])
    assert f" INFO    {variant[:8]} " in shown[0]
    assert shown[0].endswith(": begun")
    outcome = CliRunner().invoke(app, ["logs", "small", "--json", "--store", str(tmp_path / "store")])
    assert [tuple(line.values()) for line in json.loads(outcome.stdout)] == [tuple(line) for line in lines]
    delete_study(store, find_deletion(store, "small"))
    assert not [one.name for one in store.objects() if "/logs/" in one.name]


def test_workers_of_other_processes_write_logs_of_their_own(tmp_path: Path) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())
    with local_client(n_workers=2, threads_per_worker=1, processes=True) as client:
        bs.run(plan, client=client)
    lines = read_logs(plan.store, "small")
    assert {line.worker.split("-")[-2] for line in lines} == {"driver", "0", "1"}
    assert sum(line.text == "begun" for line in lines) == 6
    assert sum(line.text.startswith("engine opened: EnergyPlus") for line in lines) == 2


def test_a_run_that_has_nothing_to_do_writes_no_log(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run_study(small_study(), store, FakeEngine())
    before = runs_logged(store, "small")
    run_study(small_study(), store, FakeEngine())
    run_study(small_study(), store, FakeEngine(), verify=True)
    assert runs_logged(store, "small") == before
