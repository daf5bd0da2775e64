"""Models and weather files: found, hashed and checked."""

from __future__ import annotations

import gzip
import hashlib
import os
import uuid
from pathlib import Path

import fsspec
import pytest
from idfkit.weather.epw import parse_epw
from pyenergyplus import dataset

import bemsweep as bs
from bemsweep import inputs
from bemsweep.errors import StudyError
from bemsweep.input_files import Input, InputFiles
from bemsweep.inputs import WeatherFacts, read_weather, weather_facts
from weather_files import HOURS as YEAR
from weather_files import ddy_day, leap_hours, of_year, write_epw

CHICAGO = Path(dataset.weather_files["usa_il_chicago"])
LINES = CHICAGO.read_text(encoding="latin-1").splitlines(keepends=True)
HEADER, HOURS = LINES[:8], LINES[8:]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("a.idf", "b.idf", "deep/er/c.idf", "city.epw", "d.epJSON"):
        path = tmp_path / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    monkeypatch.chdir(tmp_path / "models")
    return tmp_path / "models"


def study(baseline="a.idf", weather="city.epw", **settings):
    return bs.Study(name="s", baseline=baseline, weather=weather, outputs=[bs.Meter("m")], **settings)


def files_of(a_study):
    return InputFiles(a_study.folder, a_study.storage_options)


def resolve_baselines(a_study):
    return inputs.resolve_baselines(a_study, files_of(a_study))


def resolve_weather(a_study):
    return inputs.resolve_weather(a_study, files_of(a_study))


def read_all_weather(a_study, found):
    return inputs.read_all_weather(a_study, found, files=files_of(a_study))


def problems_of(resolve, a_study):
    with pytest.raises(StudyError) as caught:
        resolve(a_study)
    return [str(problem) for problem in caught.value.problems]


# Finding files


def test_an_input_is_named_by_its_content(folder):
    found = resolve_baselines(study())["a"]
    path = folder / "a.idf"
    assert found == Input(path, hashlib.sha256(b"content of a.idf").hexdigest(), "a.idf", str(path))
    assert found.suffix == ".idf"


@pytest.mark.parametrize(
    ("baseline", "labels"),
    [
        ("*.idf", ["a", "b"]),
        ("**/*.idf", ["a", "b", "c"]),
        (["*.idf", "deep/*/c.idf"], ["a", "b", "c"]),
        ("[ab].idf", ["a", "b"]),
        ("?.epJSON", ["d"]),
        ({"asbuilt": "a.idf", "code": "b.idf"}, ["asbuilt", "code"]),
        ("deep/../a.idf", ["a"]),
    ],
)
def test_labels_of_files(baseline, labels):
    assert list(resolve_baselines(study(baseline))) == labels


def test_paths_of_all_kinds_lead_to_one_file(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    for spec in ("a.idf", str(folder / "a.idf"), f"file://{folder}/a.idf", "~/models/a.idf"):
        assert resolve_baselines(study(spec))["a"].path == folder / "a.idf"


def test_relative_paths_start_from_the_study_file(folder, tmp_path, monkeypatch):
    (folder / "study.yaml").write_text(
        "name: s\nbaseline: [a.idf, deep/*/*.idf]\nweather: city.epw\noutputs: [{meter: m}]\n"
    )
    monkeypatch.chdir(tmp_path)
    assert list(resolve_baselines(bs.Study.from_yaml(folder / "study.yaml"))) == ["a", "c"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(folder):
    (folder / "model[1].idf").write_text("x")
    assert [entry.path.name for entry in resolve_baselines(study("model[1].idf")).values()] == ["model[1].idf"]


def test_a_glob_skips_folders(folder):
    (folder / "folder.idf").mkdir()
    assert list(resolve_baselines(study("*.idf"))) == ["a", "b"]


def test_all_files_that_are_missing_are_told_with_the_nearest_name(folder):
    told = problems_of(
        resolve_baselines, study({"one": "aa.idf", "two": "*.osm", "three": "nowhere/x.idf", "four": "deep"})
    )
    assert told == [
        f"aa.idf: no such file (did you mean 'a.idf'?): looked for {folder}/aa.idf @ baseline.one",
        f"*.osm: no file matches {folder}/*.osm @ baseline.two",
        f"nowhere/x.idf: no such file: looked for {folder}/nowhere/x.idf @ baseline.three",
        f"deep: {folder}/deep is no file; for all files of a folder give a pattern such as deep/* @ baseline.four",
    ]


def test_missing_weather_is_told_at_its_label():
    told = problems_of(resolve_weather, study(weather={"denver": "cty.epw", "chicago": "city.epw"}))
    assert len(told) == 1
    assert told[0].startswith("cty.epw: no such file (did you mean 'city.epw'?)")
    assert told[0].endswith("@ weather.denver")


def test_files_of_one_name_in_a_glob_are_told(folder):
    (folder / "deep" / "a.idf").write_text("x")
    assert problems_of(resolve_baselines, study("**/*.idf")) == [
        "two files are called 'a': give them labels @ baseline"
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_told(folder):
    (folder / "a.idf").chmod(0)
    assert "Permission denied" in problems_of(resolve_baselines, study())[0]


def test_a_file_that_cannot_be_read_is_told(monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(hashlib, "file_digest", fail)
    assert problems_of(resolve_baselines, study()) == ["a.idf: [Errno 5] Input/output error @ baseline.a"]


# Bundled files


@pytest.mark.parametrize("name", ["ref/small_office", "ashrae/hospital", "ref/hospital"])
def test_bundled_models(name):
    found = resolve_baselines(study(f"bundled:{name}"))
    assert list(found) == [name.partition("/")[2]]
    assert found[name.partition("/")[2]].path.is_file()


def test_every_bundled_weather_file_is_whole():
    weather = resolve_weather(study(weather=[f"bundled:{name}" for name in dataset.weather_files]))
    assert len(weather) == 16
    assert all(read_weather(entry.path).is_whole_year for entry in weather.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ref/smal_office", "no bundled file 'ref/smal_office' (did you mean 'ref/small_office'?)"),
        ("usa_il_chicag", "did you mean 'usa_il_chicago'?"),
        ("", "no bundled file ''"),
        ("../../etc/passwd", "no bundled file"),
    ],
)
def test_bundled_names_that_do_not_exist(name, message):
    assert message in problems_of(resolve_baselines, study({"x": f"bundled:{name}"}))[0]


def test_bundled_names_without_the_wheel(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyenergyplus", None)
    assert "pip install pyenergyplus-lbnl" in problems_of(resolve_baselines, study("bundled:ref/small_office"))[0]


# URLs


def test_a_url_is_fetched_and_keeps_its_suffix(tmp_path):
    url = f"memory://{uuid.uuid4()}/city.epw"
    fsspec.open(url, "wb").open().close()
    with fsspec.open(url, "wb") as file:
        file.write(b"weather")
    found = resolve_weather(study(weather=url))["city"]
    assert found.path.read_bytes() == b"weather"
    assert found.path.name == "city.epw"
    assert tmp_path / "cache" in found.path.parents
    assert found == resolve_weather(study(weather=url))["city"]


@pytest.mark.parametrize("url", ["memory://nowhere/x.idf", "nonsense://x.idf"])
def test_a_url_that_leads_nowhere_is_told(url):
    assert problems_of(resolve_baselines, study(url))[0].startswith(f"{url}: ")


# Weather files


def write(folder, text):
    path = folder / "weather.epw"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    return path


def with_hours(hours):
    return "".join([*HEADER, *hours])


def with_header(line, old, new):
    assert old in HEADER[line]
    return "".join([*HEADER[:line], HEADER[line].replace(old, new), *HEADER[line + 1 :], *HOURS])


def test_a_weather_file_that_is_all_right():
    facts = read_weather(CHICAGO)
    assert facts.design_conditions.startswith("1,Climate Design Data 2009")
    assert facts == WeatherFacts(
        utc_offset_h=-6.0,
        is_leap=False,
        is_whole_year=True,
        city="Chicago Ohare Intl Ap",
        position=(41.98, -87.92),
        elevation_m=201.0,
        design_conditions=facts.design_conditions,
        actual_year=None,
    )


def test_a_weather_file_is_read_once_and_again_when_it_has_changed(folder, monkeypatch):
    texts = []
    monkeypatch.setattr(inputs, "parse_epw", lambda text: texts.append(text) or parse_epw(text))
    path = write(folder, "".join(LINES))
    for _ in range(2):
        assert weather_facts(Input.of(path, "w")).city == "Chicago Ohare Intl Ap"
    assert len(texts) == 1
    write(folder, with_header(0, "Chicago Ohare Intl Ap", "Elsewhere"))
    assert weather_facts(Input.of(path, "w")).city == "Elsewhere"
    assert len(texts) == 2


@pytest.mark.parametrize("text", ["\n\n\n", "\r\n"])
def test_blank_lines_at_the_end_do_no_harm(folder, text):
    assert read_weather(write(folder, "".join(LINES) + text)).is_whole_year


def test_a_year_with_29_february(folder):
    leap = [line.replace(",2,28,", ",2,29,", 1) for line in HOURS[24 * 58 : 24 * 59]]
    header = [line.replace("SAVINGS,No", "SAVINGS,Yes").replace("SAVING,No", "SAVING,Yes") for line in HEADER]
    assert header != HEADER
    assert read_weather(write(folder, "".join([*header, *HOURS[: 24 * 59], *leap, *HOURS[24 * 59 :]]))).is_leap


def test_a_header_and_its_rows_must_say_the_same_of_leap_years(folder):
    with pytest.raises(ValueError, match=r"says No to leap years, .* write Yes for No in its line HOLIDAYS"):
        read_weather(write_epw(folder / "w.epw", leap_hours()))
    with pytest.raises(ValueError, match=r"has no 29 February, .* write No for Yes in its line HOLIDAYS"):
        read_weather(write_epw(folder / "w.epw", leap="Yes"))
    with pytest.raises(ValueError, match="carries 8783"):
        read_weather(write_epw(folder / "w.epw", leap_hours()[1:]))


def test_a_year_that_cannot_have_one_says_nothing_of_29_february(folder):
    summer = [line for line in YEAR if 6 <= int(line.split(",")[1]) <= 8]
    facts = read_weather(write_epw(folder / "w.epw", summer, leap="Yes", days=("6/ 1", "8/31")))
    assert not facts.is_leap


@pytest.mark.parametrize(
    ("hours", "settings", "year"),
    [
        (of_year(YEAR, 2018), {"weekday": "Monday"}, 2018),
        (of_year(YEAR, 2018), {"weekday": "monday", "days": ("1/1/2018", "12/31/2018")}, 2018),
        (of_year(leap_hours(), 2020), {"weekday": "Wednesday", "leap": "Yes"}, 2020),
        (of_year(YEAR, 2018), {"weekday": "Sunday"}, None),  # a typical year under one number
        (of_year(YEAR, 0), {"weekday": "Sunday"}, None),
        (YEAR, {"weekday": "Sunday"}, None),
    ],
    ids=["2018", "2018 with dates", "2020", "a number", "no year", "several years"],
)
def test_an_actual_year_is_known_as_one(folder, hours, settings, year):
    facts = read_weather(write_epw(folder / "w.epw", hours, **settings))
    assert facts.actual_year == year
    assert facts.is_whole_year


def days_of(study, label="city"):
    (source,) = resolve_weather(study).values()
    return inputs.read_design_days(study, label, source, read_weather(source.path), files=files_of(study))


def ddy(path):
    winter = ddy_day(
        "City Ann Htg 99.6% Condns DB", (1, -9, 0, -9, 98934, 4, 0), solar="ASHRAEClearSky", kind="WinterDesignDay"
    )
    summer = ddy_day(
        "City Ann Clg 1% Condns DB=>MWB", (7, 31, 9, 22, 98934, 4, 0), solar="ASHRAEClearSky", kind="SummerDesignDay"
    )
    path.write_text(winter + summer)
    return path


def test_where_design_days_come_from(folder):
    write_epw(folder / "city.epw")
    ddy(folder / "city.ddy").with_name("other.ddy").write_text(
        (folder / "city.ddy").read_text().replace("City", "Other")
    )

    def names(top, own=None):
        weather = {"epw": "city.epw", "design_days": own}
        return [day.name.split()[0] for day in days_of(study(weather=weather, design_days=top))]

    assert names("model") == names("epw", "model") == []
    assert names("epw") == names("model", "epw") == ["Chicago", "Chicago"]
    assert names("ddy") == names("model", "ddy") == ["City", "City"]
    assert names("epw", {"ddy": "other.ddy"}) == ["Other", "Other"]


def test_a_pattern_finds_the_ddy_beside_each_file(folder):
    ddy(write_epw(folder / "city.epw").with_suffix(".ddy"))
    assert [day.name[:4] for day in days_of(study(weather="*.epw", design_days="ddy"))] == ["City", "City"]


def test_a_url_has_its_ddy_beside_it(folder):
    place = f"memory://weather-{uuid.uuid4()}"
    for suffix, path in ((".epw", write_epw(folder / "x.epw")), (".ddy", ddy(folder / "x.ddy"))):
        with fsspec.open(f"{place}/city{suffix}", "wb") as file:
            file.write(path.read_bytes())
    assert [day.name[:4] for day in days_of(study(weather=f"{place}/city.epw", design_days="ddy"))] == ["City", "City"]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("ddy", r"no design days from .*city\.ddy: no such file \(did you mean 'city.epw'\?\)"),
        ({"ddy": "none.ddy"}, "no design days from none.ddy: no such file"),
        ({"ddy": "a.idf"}, "no design days from a.idf: a.idf is no IDF, or cut short"),
        ({"ddy": "nonsense://x.ddy"}, "no design days from nonsense://x.ddy: "),
    ],
    ids=["beside", "named", "no ddy", "no url"],
)
def test_a_ddy_that_cannot_be_had_is_told(folder, own, message):
    write_epw(folder / "city.epw")
    with pytest.raises(ValueError, match=message):
        days_of(study(weather={"epw": "city.epw", "design_days": own}))


def test_every_weather_is_read_and_all_that_is_wrong_is_told(folder):
    write_epw(folder / "leap.epw", leap_hours(), leap="Yes")
    write_epw(folder / "january.epw", YEAR[: 24 * 31], days=("1/ 1", "1/31"))
    a_study = study(weather={
        "city": "city.epw", "leap": {"epw": "leap.epw", "design_days": {"ddy": "none.ddy"}}, "january": "january.epw"
    })  # fmt: skip
    weather, problems = read_all_weather(a_study, resolve_weather(a_study))
    assert list(weather) == ["january"]
    assert [str(problem).split(":")[0] for problem in problems] == [
        "city.epw is no whole EPW", "leap.epw", "january.epw does not hold a whole year, which `run"
    ]  # fmt: skip


@pytest.mark.parametrize(("run", "is_refused"), [("annual", True), ("run_period", True), ("design_day", False)])
def test_weather_with_and_without_a_29_february_is_refused(folder, run, is_refused):
    write_epw(folder / "leap.epw", leap_hours(), leap="Yes")
    write_epw(folder / "city.epw")
    a_study = study(weather=["leap.epw", "city.epw"], run=run)
    _, problems = read_all_weather(a_study, resolve_weather(a_study))
    assert [str(problem) for problem in problems] == [
        "weather with and without a 29 February has no common time axis: leap has one; make two studies of it @ weather"
    ] * is_refused


def test_a_part_of_a_year_is_known_as_one(folder):
    header = [line.replace("12/31", "1/31") if line.startswith("DATA PERIODS") else line for line in HEADER]
    assert not read_weather(write(folder, "".join([*header, *HOURS[: 24 * 31]]))).is_whole_year


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 lines"),
        ("hello\n" * 9000, "LOCATION"),
        (gzip.compress(b"x" * 1000, mtime=0), "LOCATION|lines"),
        (bytes(range(256)) * 50, "LOCATION"),
        ("".join(HOURS), "LOCATION"),
        (with_hours([]), "carries 0"),
        (with_hours(HOURS[:5000]), "carries 5000"),
        (with_hours(HOURS[:-1]), "carries 8759"),
        (with_hours(HOURS)[: 8760 * 90], "fields and the format has|carries"),
        (with_hours(HOURS)[:-60], "fields and the format has 35"),
        (with_hours([*HOURS[:100], *HOURS[101:]]), "carries 8759"),
        (with_hours([*HOURS[:240], *HOURS[264:]]), "carries 8736"),
        (with_hours([*HOURS[:100], *HOURS[101:], HOURS[100]]), "row 101 .* month 1 day 5 hour 6, .* day 5 hour 5"),
        (with_hours([*HOURS[:240], *HOURS[216:240], *HOURS[264:]]), "row 241 .* day 10 hour 1, .* day 11 hour 1"),
        (with_hours([*HOURS[4000:], *HOURS[:4000]]), "row 1 "),
        (with_hours([*HOURS[:24], "1986,1,2,1,60\n", *HOURS[25:]]), "has 5 fields"),
        (with_hours([*HOURS[:24], HOURS[24].replace(",1,2,1,", ",1,two,1,"), *HOURS[25:]]), "is not a number"),
        (with_header(7, "DATA PERIODS,1,1,", "DATA PERIODS,1,0,"), "records per hour"),
        (with_header(7, "DATA PERIODS,1,1,", "DATA PERIODS,1,4,"), "35040"),
        (with_header(7, "DATA PERIODS,1,1,", "DATA PERIODS,2,1,"), "2 periods"),
        (with_header(7, " 1/ 1", " 2/30"), "."),
        (with_header(7, "12/31", "never"), "."),
    ],
)
def test_a_weather_file_that_is_none_or_not_whole(folder, text, message):
    with pytest.raises(ValueError, match=message):
        read_weather(write(folder, text))
