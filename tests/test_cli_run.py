from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console
from typer.testing import CliRunner

import bemsweep as bs
from bemsweep import cli_run
from bemsweep.cli import app
from bemsweep.heartbeat import Running
from bemsweep.progress import Progress
from bemsweep.testing import FakeEngine
from small_studies import grid_of, small_study


@pytest.mark.parametrize("width", [80, 200])
def test_the_bar_keeps_to_one_line(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    file = io.StringIO()
    monkeypatch.setattr(cli_run, "err", Console(file=file, width=width))
    now = Progress(
        total=9999, cached=1234, to_do=8765, statuses={"succeeded": 4000, "failed": 12}, elapsed_s=4000,
        stage="running", running=(Running("890f541aabcd", "07/21", 61),),
    )  # fmt: skip
    cli_run._watch(cast("Any", SimpleNamespace(is_done=True, progress=now)), is_quiet=False)
    (line,) = file.getvalue().splitlines()
    assert "5246/9999 done 12 failed  1234 cached 1.0/s longest: 890" in line
    assert ("at 07/21, 1 min" in line) == (width == 200)


def test_the_bar_tells_the_cost_where_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(cli_run, "err", Console(file=file, width=120))
    now = Progress(total=9, cached=0, to_do=9, statuses={"succeeded": 4}, elapsed_s=40, stage="running", cost_usd=1.2)
    cli_run._watch(cast("Any", SimpleNamespace(is_done=True, progress=now)), is_quiet=False)
    assert "10.0 s each $1.20" in file.getvalue()


def test_a_run_whose_money_is_spent_ends_with_3_and_says_how_to_carry_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, engine = small_study(parameters=grid_of(10, 10)), FakeEngine(longest_s=0.5)
    file = tmp_path / "cluster.yaml"
    file.write_text("cluster: local\nthreads: 2\nprice_per_hour: 3600\n")
    monkeypatch.setattr(
        cli_run, "planned", lambda *_, cluster, **__: bs.plan(study, store=tmp_path, engine=engine, cluster=cluster)
    )
    told = CliRunner().invoke(app, ["run", "study.yaml", "--cluster", str(file), "--max-cost", "2", "--json"])
    assert told.exit_code == 3, told.output
    assert "run again to carry on, with another --max-cost" in told.stderr
    report = json.loads(told.stdout)
    assert report["ended"].startswith("the run was ended: another round of variants could exceed the $2.00")
    assert report["statuses"]["pending"] > 0
    assert report["account"]["cost_usd"] > 0
    assert "1 x worker" in report["account"]["paid_for"]


def test_a_limit_is_refused_where_there_is_no_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())
    monkeypatch.setattr(cli_run, "planned", lambda *_, **__: plan)
    told = CliRunner().invoke(app, ["run", "study.yaml", "--max-cost", "10"])
    assert told.exit_code == 2
    assert "max_cost needs a price" in " ".join(told.stderr.split()).replace("│ ", "")
    assert not list(plan.store.objects("records"))
