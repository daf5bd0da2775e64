"""A study whose every input is somewhere else - S3, HTTP, memory, archives - is the study with the same files here."""

from __future__ import annotations

import gzip
import io
import json
import re
import uuid
import zipfile
from pathlib import Path

import cloudpickle
import fsspec
import pytest
from pyenergyplus.dataset import ref_models, weather_files
from ruamel.yaml import YAML

import bemsweep as bs
from bemsweep.console import store_of
from bemsweep.errors import StudyError
from bemsweep.parameters import Insert
from bemsweep.run_context import context_of
from bemsweep.testing import FakeEngine
from small_studies import local_client, read, small_study
from weather_files import ddy_day
from web_servers import web_server

EXAMPLES = Path(__file__).parent.parent / "examples"
HOURS = "\n".join(["0.5"] * 8760).encode()
SECRET = "Bearer hunter2"


def days() -> bytes:
    winter = ddy_day(
        "City Ann Htg 99.6% Condns DB", (1, -9, 0, -9, 98934, 4, 0), solar="ASHRAEClearSky", kind="WinterDesignDay"
    )
    summer = ddy_day(
        "City Ann Clg 1% Condns DB=>MWB", (7, 31, 9, 22, 98934, 4, 0), solar="ASHRAEClearSky", kind="SummerDesignDay"
    )
    return (winter + summer).encode()


def model(*names: str) -> bytes:
    """A small office with a schedule from each of these files."""
    text = Path(ref_models["small_office"]).read_text()
    extra = "\n".join(f"Schedule:File,Own {n},Fraction,{name},1,0,8760,Comma,No,60;\n" for n, name in enumerate(names))
    place = "  SimulationControl,"
    assert place in text
    return text.replace(place, f"{extra}\n{place}").encode()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))


def study_of(places, **changes):
    """The same study, with its files in these places."""
    settings = {
        "baseline": {"office": f"{places['models']}/office.idf"},
        "weather": {"chicago": places["weather"]},
        "design_days": "ddy",
        "run": "design_day",
        "parameters": {
            "panels": Insert(),
            "people": bs.Schedule("BLDG_OCC_SCH"),
        },
        "design": {"table": places["table"]},
        "outputs": [bs.Meter("Electricity:Facility", frequency="monthly", as_="electricity")],
        "reference": False,
        **changes,
    }
    return small_study(**settings)


@pytest.fixture
def everywhere(s3, tmp_path):
    """The places of one study's files here, and elsewhere; and a server that wants a word."""
    memory = f"memory://{uuid.uuid4()}"
    idf, solar = model("hours.csv", f"{memory}/more.csv"), (EXAMPLES / "solar.idf").read_bytes()
    occupancy = (EXAMPLES / "hybrid_occupancy.csv").read_bytes()
    epw = Path(weather_files["usa_il_chicago"]).read_bytes()
    here = tmp_path / "here"
    here.mkdir()
    for name, content in {
        "office.idf": idf, "hours.csv": HOURS, "c.epw": epw, "c.ddy": days(), "solar.idf": solar, "o.csv": occupancy,
        "points.csv": f"panels,people\n{here}/solar.idf,{here}/o.csv\n".encode(),
    }.items():  # fmt: skip
        (here / name).write_bytes(content)
    bucket = s3.new_bucket()
    fs = fsspec.filesystem("s3", **s3.options, skip_instance_cache=True)
    for name, content in {"m/office.idf": idf, "m/hours.csv": HOURS, "o.csv.gz": gzip.compress(occupancy)}.items():
        fs.pipe_file(f"{bucket.removeprefix('s3://')}/{name}", content)
    for name, content in {
        "more.csv": HOURS, "solar.idf": solar,
        "points.csv": f"panels,people\n{memory}/solar.idf,{bucket}/o.csv.gz\n".encode(),
    }.items():  # fmt: skip
        with fsspec.open(f"{memory}/{name}", "wb") as file:
            file.write(content)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for suffix, content in ((".epw", epw), (".ddy", days()), (".stat", b"")):
            opened.writestr(f"USA_IL [TMYx]{suffix}", content)
    with web_server({"/w/c 1.zip": archive.getvalue()}, password=SECRET) as url:
        yield {
            "here": {"models": here, "weather": f"{here}/c.epw", "table": f"{here}/points.csv"},
            "elsewhere": {"models": f"{bucket}/m", "weather": f"{url}/w/c%201.zip", "table": f"{memory}/points.csv"},
            "store": f"{bucket}/store",
        }


@pytest.mark.engine
def test_where_files_are_does_not_matter(s3, everywhere, tmp_path):
    options = {"s3": s3.options, "http": {"headers": {"Authorization": SECRET}}}
    local = bs.plan(study_of(everywhere["here"]), store=tmp_path / "store")
    plan = bs.plan(study_of(everywhere["elsewhere"], storage_options=options), store=everywhere["store"])
    assert plan.variant_ids == local.variant_ids
    assert plan.to_frame().panels[0].startswith("memory://")
    with local_client() as client:
        bs.run(plan, client=client)
    assert list(read(plan.store).status.values) == ["succeeded"]

    definition = json.loads(plan.store.get("studies/small/study.json"))["amendments"][0]["definition"]
    assert "storage_options" not in definition
    written = [plan.store.get(entry.name) for entry in plan.store.objects()]
    pickled = cloudpickle.dumps(context_of(plan))
    for secret in (s3.options["secret"], SECRET, "hunter2"):
        assert all(secret.encode() not in content for content in written)
        assert secret not in repr(plan.study) + str(plan) + repr(plan.store)
    assert SECRET.encode() not in pickled


def test_all_that_cannot_be_had_is_told_at_once_with_its_place(everywhere, s3, tmp_path):
    study = study_of(
        everywhere["elsewhere"],
        storage_options={"s3": {**s3.options, "secret": "wrong"}, "htp": {}},
        parameters={"panels": bs.Options({"one": [{"insert": "memory://nowhere/x.idf"}]})},
        design={"table": "memory://nowhere/points.csv"},
    )
    with pytest.raises(StudyError) as caught:
        bs.plan(study, store=tmp_path / "store", engine=FakeEngine())
    told = {problem.path: problem.message for problem in caught.value.problems}
    assert list(told) == [
        "storage_options.htp", "baseline.office", "weather.chicago", "design.table", "parameters.panels"
    ]  # fmt: skip
    assert "did you mean 'http'" in told["storage_options.htp"]
    assert "the secret does not fit" in told["baseline.office"]
    assert "the server does not let you read it" in told["weather.chicago"]
    assert told["design.table"] == "cannot read the table memory://nowhere/points.csv: no such file"
    assert told["parameters.panels"] == "cannot read memory://nowhere/x.idf: no such file"
    assert s3.options["key"] not in str(caught.value)


def test_a_model_must_not_name_a_url_with_a_secret(tmp_path):
    (tmp_path / "office.idf").write_bytes(model("https://h.invalid/x.csv?sig=hunter2"))
    study = small_study(baseline=str(tmp_path / "office.idf"))
    with pytest.raises(StudyError, match=r"names the file https://h\.invalid/x\.csv\?… carries a secret") as caught:
        bs.plan(study, store=tmp_path / "store", engine=FakeEngine())
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["local", "aws", "minio", "gcs"])
def test_the_examples_are_studies_without_secrets(name):
    study = bs.Study.from_yaml(EXAMPLES / "storage" / f"{name}.yaml")
    assert study.name == f"storage-{name}"
    assert bool(study.storage_options) == (name != "local")


def test_the_local_example_can_be_planned(tmp_path):
    study = bs.Study.from_yaml(EXAMPLES / "storage" / "local.yaml")
    assert bs.plan(study, store=tmp_path / "store", engine=FakeEngine()).counts()["to_run"] == 2


def test_the_example_of_minio_can_be_planned_with_credentials_of_the_environment(s3_env, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    text = (EXAMPLES / "storage" / "minio.yaml").read_text()
    (tmp_path / "study.yaml").write_text(text.replace("http://127.0.0.1:9000", s3_env.endpoint_url))
    url = s3_env.new_bucket()
    plan = bs.plan(bs.Study.from_yaml(tmp_path / "study.yaml"), store=url, engine=FakeEngine())
    assert plan.counts()["to_run"] == 2
    assert plan.store.storage_options == {"endpoint_url": s3_env.endpoint_url}
    assert store_of(str(tmp_path / "study.yaml"), url).storage_options == plan.store.storage_options
    assert store_of("storage-minio", url).storage_options == {}


def test_the_servers_example_is_what_the_studies_example_says():
    yaml = YAML(typ="safe", pure=True)
    services = yaml.load(EXAMPLES / "storage" / "docker-compose.yml")["services"]
    study = (EXAMPLES / "storage" / "minio.yaml").read_text()
    assert "127.0.0.1:9000:9000" in services["minio"]["ports"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (default,) = re.findall(rf"\${{{name}:-(.*?)}}", " ".join(services["minio"]["environment"].values()))
        assert f"{name}={default}" in study
    assert "mc mb --ignore-existing minio/bemsweep" in services["bucket"]["command"][0]
    assert "--store s3://bemsweep/" in study
