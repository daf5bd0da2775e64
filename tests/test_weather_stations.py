"""Stations are found without a network; what a download brings is whole in the store, or not there at all."""

from __future__ import annotations

import http.server
import io
import threading
import zipfile
from dataclasses import replace

import pytest

from bemsweep.errors import BemsweepError, InfrastructureError, StoreError
from bemsweep.store import Store
from bemsweep.weather_stations import download, find_file, load_index, search
from direct_engine import CHICAGO

OHARE = "USA_IL_Chicago.OHare.Intl.AP.725300_TMYx"
EPW = CHICAGO.read_bytes()
DDY = CHICAGO.with_suffix(".ddy").read_bytes() if CHICAGO.with_suffix(".ddy").exists() else b"Version,25.2;\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """idfkit's own index, loaded where nobody has refreshed it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDFKIT_CACHE_DIR", str(tmp_path_factory.mktemp("idfkit")))
        patch.setenv("IDFKIT_NO_WEATHER_UPDATE_CHECK", "1")
        return load_index()


def archive(**files):
    """Return a ZIP with these files: ``epw=b"…"``."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for suffix, content in files.items():
            file.writestr(f"{OHARE}.{suffix}", content)
    return data.getvalue()


WHOLE = archive(epw=EPW, ddy=DDY, stat=b"statistics")


class Site(http.server.ThreadingHTTPServer):
    """A weather site on loopback that answers as it is told and counts how often it is asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.status, self.body, self.length, self.asked = 200, WHOLE, None, 0

    def station(self, index):
        return replace(find_file(OHARE, index=index), url=f"http://127.0.0.1:{self.server_port}/{OHARE}.zip")


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.length or len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *words):
        """Tests are quiet."""


@pytest.fixture
def site():
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


# Search


@pytest.mark.parametrize(("text", "name"), [("Zürich", "Zurich"), ("Bogotá", "Bogota"), ("SÃO PAULO", "Sao Paulo")])
def test_accents_do_not_count(index, text, name):
    assert search(text, limit=1, index=index) == search(name, limit=1, index=index)
    assert name.split()[0] in search(text, limit=1, index=index)[0].name


def test_a_name_finds_its_station_with_the_newest_years_first(index):
    station, *others = search("chicago ohare", index=index)
    assert (station.name, station.state, station.country, station.wmo) == (
        "Chicago OHare Intl AP",
        "IL",
        "USA",
        "725300",
    )
    assert (station.latitude, station.longitude) == pytest.approx((42, -87.9), abs=0.1)
    assert station.distance_km is None
    years = [file.years for file in station.files]
    assert years == [*sorted(years[:-1], reverse=True), "all"]
    assert [file.id for file in station.files] == [f"{OHARE}.{text}" for text in years[:-1]] + [OHARE]
    assert len(others) == 4
    assert len({(other.name, other.wmo) for other in others}) == 4, "one line per station, not one per file"


def test_a_position_finds_the_nearest_stations(index):
    found = search("-33.86, 151.21", limit=3, index=index)
    assert [station.country for station in found] == ["AUS"] * 3
    distances = [station.distance_km for station in found]
    assert distances == sorted(distances)
    assert distances[0] < 2
    assert found[0].to_dict()["files"][0]["id"] == found[0].files[0].id


def test_a_number_finds_its_station_only(index):
    assert [station.wmo for station in search("725300", index=index)] == ["725300"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Chicgo", "no station fits 'Chicgo' (did you mean 'Chicago'?)"),
        ("qqqqq", "give a part of a name, a WMO number, or LAT,LON"),
        ("151.2,-33.9", "latitude -90 to 90 first"),
    ],
)
def test_what_cannot_be_found_is_told(index, text, told):
    with pytest.raises(BemsweepError) as error:
        search(text, index=index)
    assert told in str(error.value)


def test_loading_the_index_asks_nobody(tmp_path, monkeypatch):
    """idfkit looks for news of its site otherwise, and waits long for it."""
    monkeypatch.setenv("IDFKIT_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("IDFKIT_NO_WEATHER_UPDATE_CHECK", raising=False)
    asked = []
    monkeypatch.setattr("idfkit.weather.index.urlopen", lambda *words, **_: asked.append(words))
    assert len(load_index()) > 1e4
    assert asked == []


# Which file


def test_a_number_means_the_newest_years_and_an_id_itself(index):
    newest = search("725300", index=index)[0].files[0].id
    assert find_file("725300", index=index).filename_stem == newest != OHARE
    assert find_file(OHARE, index=index).filename_stem == OHARE
    assert find_file(OHARE.lower(), index=index).filename_stem == OHARE


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("725301", ["WMO number 725301", "725300 (Chicago OHare Intl AP, IL, USA)"]),
        ("USA_IL_Chicago.OHare.725300_TMYx", ["did you mean USA_IL_Chicago.OHare.Intl.AP.725300_TMYx.20"]),
        ("Chicgo", ["no weather file 'Chicgo'"]),
        ("788660", ["several stations", "SXM_SM_Philipsburg", "MAF_SM_Marigot"]),
    ],
)
def test_a_name_that_means_no_file_is_told_with_those_near_it(index, name, told):
    with pytest.raises(BemsweepError) as error:
        find_file(name, index=index)
    assert [text for text in told if text not in str(error.value)] == []


# Download


def test_a_download_is_whole_in_the_store(index, site, store):
    stored = download(site.station(index), store)
    assert store.names("weather") == [f"{OHARE}.ddy", f"{OHARE}.epw", f"{OHARE}.stat"]
    assert store.get(f"weather/{OHARE}.epw") == EPW
    assert stored.epw == store.url_of(f"weather/{OHARE}.epw")
    assert (stored.ddy, stored.stat) == (stored.epw.replace(".epw", ".ddy"), stored.epw.replace(".epw", ".stat"))
    assert stored.line == f'weather: {{chicago_ohare_intl_ap: "{stored.epw}"}}'
    assert download(site.station(index), store) == stored
    assert site.asked == 1, "what is there is left as it is"


def test_an_archive_without_statistics_will_do(index, site, store):
    site.body = archive(epw=EPW, ddy=DDY)
    assert download(site.station(index), store).stat is None


def test_the_epw_comes_last(index, site, store, monkeypatch):
    """So whoever sees it has its design days too, and a download that broke off is made again."""
    put = Store.put

    def full(self, name, data):
        if name.endswith(".epw"):
            raise StoreError("no space left")
        put(self, name, data)

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(StoreError, match="no space left"):
        download(site.station(index), store)
    assert store.names("weather") == [f"{OHARE}.ddy", f"{OHARE}.stat"]
    monkeypatch.undo()
    download(site.station(index), store)
    assert site.asked == 2


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        pytest.param({"status": 404}, BemsweepError, "is not to be had (404", id="missing"),
        pytest.param({"status": 503}, InfrastructureError, "503", id="out of order"),
        pytest.param({"body": b"<html>log in</html>"}, InfrastructureError, "no whole archive", id="a page"),
        pytest.param({"body": WHOLE[:-999], "length": len(WHOLE)}, InfrastructureError, "IncompleteRead", id="broken"),
        pytest.param({"body": WHOLE[:-999]}, InfrastructureError, "no whole archive", id="cut short"),
        pytest.param({"body": archive(epw=EPW[:99999], ddy=DDY)}, BemsweepError, "no whole EPW", id="half a year"),
        pytest.param({"body": archive(ddy=DDY)}, BemsweepError, "No .epw file", id="no EPW"),
        pytest.param({"body": archive(epw=EPW)}, BemsweepError, "No .ddy file", id="no design days"),
    ],
)  # fmt: skip
def test_a_bad_download_is_told_and_leaves_nothing(index, site, store, *, change, error, told):
    for name, value in change.items():
        setattr(site, name, value)
    with pytest.raises(BemsweepError) as raised:
        download(site.station(index), store)
    assert type(raised.value) is error
    assert told in str(raised.value)
    assert store.names("weather") == []


def test_a_bad_archive_is_not_kept_for_the_next_time(index, site, store):
    """As idfkit's own cache would."""
    site.body = WHOLE[:-999]
    with pytest.raises(InfrastructureError):
        download(site.station(index), store)
    site.body = WHOLE
    download(site.station(index), store)
    assert len(store.names("weather")) == 3


def test_a_site_that_is_not_there_is_the_networks_fault(index, site, store):
    station = replace(site.station(index), url=f"http://127.0.0.1:1/{OHARE}.zip")
    with pytest.raises(InfrastructureError, match=r"no weather from http://127.0.0.1:1/.*Connection refused"):
        download(station, store)
