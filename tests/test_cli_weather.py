"""The command line of weather, as a user calls it: an index of idfkit's, a site on loopback."""

from __future__ import annotations

import gzip
import json

import pytest

from bemsweep.store import Store
from bemsweep.study import Study
from command_line import bemsweep
from test_weather_stations import EPW, OHARE, Site, index, site

__all__ = ["index", "site"]  # fixtures


def weather_command(*words, **environment):
    return bemsweep("weather", *words, **environment)


@pytest.fixture
def cache(tmp_path, index, site: Site):
    """Return a cache of idfkit with an index of one station, whose file is on the site on loopback."""
    (tmp_path / "idfkit").mkdir()
    with gzip.open(tmp_path / "idfkit" / "stations.json.gz", "wt") as file:
        json.dump({"stations": [site.station(index).to_dict()]}, file)
    return str(tmp_path / "idfkit")


def test_search_tells_stations_and_how_to_download(tmp_path):
    found = weather_command("search", "chicago", "ohare", "--limit", 1, IDFKIT_CACHE_DIR=str(tmp_path))
    assert found.returncode == 0, found.stderr
    head, *files, hint = found.stdout.splitlines()
    assert head == "Chicago OHare Intl AP, IL, USA: WMO 725300, 41.98,-87.90"
    assert files[-1].split() == ["all", "SRC-TMYx", OHARE]
    assert "bemsweep weather download ID" in hint


def test_search_south_of_the_equator_as_json(tmp_path):
    found = weather_command("search", "-33.9,151.2", "--limit", 1, "--json", IDFKIT_CACHE_DIR=str(tmp_path))
    assert found.returncode == 0, found.stderr
    (station,) = json.loads(found.stdout)
    assert station["country"] == "AUS"
    assert 0 < station["distance_km"] < 10


def test_download_prints_the_line_for_a_study_file(tmp_path, cache):
    store = tmp_path / "store"
    made = weather_command("download", "725300", "--store", store, IDFKIT_CACHE_DIR=cache)
    assert made.returncode == 0, made.stderr
    file = tmp_path / "study.yaml"
    file.write_text(f"name: t\nbaseline: bundled:ref/small_office\n{made.stdout}outputs: [summary]\n")
    weather = Study.from_yaml(file).weather
    assert list(weather) == ["chicago_ohare_intl_ap"]
    assert Store(store).get(f"weather/{OHARE}.epw") == EPW
    told = weather_command("download", OHARE, "--json", IDFKIT_CACHE_DIR=cache, BEMSWEEP_STORE=str(store))
    assert json.loads(told.stdout)["epw"] == weather["chicago_ohare_intl_ap"].epw


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["search", "chicago", "--limti", "3"], 2, "no option --limti"),
        (["download", "725301"], 2, "725300 (Chicago OHare Intl AP, IL, USA)"),
    ],
)
def test_bad_input_is_told(cache, words, status, told):
    done = weather_command(*words, IDFKIT_CACHE_DIR=cache)
    assert (done.returncode, told in done.stderr) == (status, True), done.stderr


def test_an_unreachable_site_ends_with_3(tmp_path, cache, site):
    site.status = 503
    done = weather_command("download", OHARE, "--store", tmp_path / "store", IDFKIT_CACHE_DIR=cache)
    assert (done.returncode, "503" in done.stderr, "Traceback" in done.stderr) == (3, True, False), done.stderr
