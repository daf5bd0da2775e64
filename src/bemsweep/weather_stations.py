"""Weather files of the world's stations: found in idfkit's index, downloaded, and put into a store.

Decides what a search tells, which file a number or an id means, and whether what came over the network is whole.
Searching never uses the network; a download never leaves half a file in the store.
"""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from zipfile import BadZipFile

from idfkit.weather import StationIndex, WeatherDownloader, WeatherFiles, WeatherStation

from bemsweep.errors import BemsweepError, InfrastructureError, nearest
from bemsweep.inputs import read_weather
from bemsweep.store import Store

__all__ = ["Station", "StationFile", "StoredWeather", "download", "find_file", "load_index", "search"]

_POSITION = re.compile(r"\s*([-+]?\d+(?:\.\d*)?)\s*,\s*([-+]?\d+(?:\.\d*)?)\s*")
_WMO = re.compile(r"\d+|[A-Z]{3}\d+")


@dataclass(frozen=True)
class StationFile:
    """One weather file of a station."""

    id: str
    """With which to download it."""
    years: str
    """The years that it is put together from, as ``2009-2023``; ``all`` for all that there are."""
    source: str
    """Where the measurements are from, as the index says."""


@dataclass(frozen=True)
class Station:
    """A place with weather files."""

    name: str
    """As the index spells it."""
    country: str
    """Its ISO 3166 code."""
    state: str
    """State or province; empty where a country has none."""
    wmo: str
    """Its WMO number."""
    latitude: float
    """Degrees, north positive."""
    longitude: float
    """Degrees, east positive."""
    elevation_m: float
    """Height above the sea, m."""
    distance_km: float | None
    """From the position that was asked for; None if a text was."""
    files: tuple[StationFile, ...]
    """The newest years first."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class StoredWeather:
    """A station's weather as it lies in a store."""

    label: str
    """What a study may call it."""
    epw: str
    """URL of the EPW."""
    ddy: str
    """URL of its design days."""
    stat: str | None
    """URL of its statistics; None if there are none."""

    @property
    def line(self) -> str:
        """The line for a study file."""
        return f'weather: {{{self.label}: "{self.epw}"}}'


def load_index() -> StationIndex:
    """Return idfkit's index of stations: the one that came along, or the one that its user refreshed.

    Side effects
    ------------
    Sets ``IDFKIT_NO_WEATHER_UPDATE_CHECK`` for this process: idfkit would ask its site for news, and wait minutes for
    it where the network is silent.
    """
    os.environ.setdefault("IDFKIT_NO_WEATHER_UPDATE_CHECK", "1")
    return StationIndex.load()


def search(text: str, *, limit: int = 5, index: StationIndex | None = None) -> list[Station]:
    """Return the stations that fit a text best, or that are nearest to a position.

    Parameters
    ----------
    text
        A name, state, country code, WMO number or id; or ``LAT,LON`` in degrees.
    limit
        How many stations at most.
    index
        Where to look; idfkit's if None.

    Raises
    ------
    BemsweepError
        There is no such station or position.
    """
    index = index or load_index()
    if position := _POSITION.fullmatch(text):
        latitude, longitude = (float(number) for number in position.groups())
        if abs(latitude) > 90 or abs(longitude) > 180:
            raise BemsweepError(f"no position {text}: latitude -90 to 90 first, then longitude -180 to 180, in degrees")
        near = index.nearest(latitude, longitude, limit=len(index))
        return _stations(((found.station, found.distance_km) for found in near), limit)
    matches = index.search(_as_indexed(text), limit=len(index))
    if not matches:
        words = {word for station in index.stations for word in re.findall(r"\w+", station.display_name)}
        told = nearest(_as_indexed(text), words) or "; give a part of a name, a WMO number, or LAT,LON"
        raise BemsweepError(f"no station fits {text!r}{told}")
    return _stations(((found.station, None) for found in matches), limit)


def _as_indexed(text: str) -> str:
    """Return a text as the index spells names, which is without accents."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(part for part in parts if not unicodedata.combining(part))


def find_file(name: str, *, index: StationIndex | None = None) -> WeatherStation:
    """Return the one weather file that a WMO number or an id means: of a number that of the newest years.

    Parameters
    ----------
    name
        A WMO number, or an id as `search` tells it.
    index
        Where to look; idfkit's if None.

    Raises
    ------
    BemsweepError
        There is no such file, or a number means stations of several countries; says which come near.
    """
    index = index or load_index()
    if _WMO.fullmatch(name):
        found = sorted(index.get_by_wmo(name), key=_newest_first)
        if not found:
            raise BemsweepError(f"no station has the WMO number {name}{_nearest_numbers(name, index)}")
        if len({station.country for station in found}) > 1:
            told = ", ".join(station.filename_stem for station in found)
            raise BemsweepError(f"the WMO number {name} is that of several stations: give one of {told}")
        return found[0]
    by_id = {station.filename_stem.casefold(): station for station in index.stations}
    wanted = name.casefold()
    if wanted not in by_id:
        raise BemsweepError(f"no weather file {name!r}{_nearest_ids(name, index)}")
    return by_id[wanted]


def download(station: WeatherStation, store: Store) -> StoredWeather:
    """Put a station's EPW, DDY and STAT into a store; what is there already is left as it is.

    Parameters
    ----------
    station
        As `find_file` returns it.
    store
        Where to put them.

    Raises
    ------
    InfrastructureError
        The site cannot be reached or what it sent is cut short: worth another try.
    BemsweepError
        The site has no such file, or it is no whole EPW.
    """
    names = {suffix: store.weather_name(station.filename_stem + suffix) for suffix in (".stat", ".ddy", ".epw")}
    if not store.has(names[".epw"]):
        with tempfile.TemporaryDirectory() as folder:
            # A folder of its own: idfkit's cache would keep an archive that is cut short, and serve it for ever.
            files = _fetch(station, WeatherDownloader(cache_dir=Path(folder)))
            # The EPW comes last: who sees it has the others too.
            for suffix, path in ((".stat", files.stat), (".ddy", files.ddy), (".epw", files.epw)):
                if path is not None:
                    store.put(names[suffix], path.read_bytes())
    label = re.sub(r"\W+", "_", station.city).strip("_").lower() or "weather"
    stat = store.url_of(names[".stat"]) if store.has(names[".stat"]) else None
    return StoredWeather(label, store.url_of(names[".epw"]), store.url_of(names[".ddy"]), stat)


def _fetch(station: WeatherStation, downloader: WeatherDownloader) -> WeatherFiles:
    """Return the files of a station, downloaded and looked at."""
    try:
        files = downloader.download(station)
    except (RuntimeError, HTTPException, OSError, EOFError, zlib.error) as error:
        raise _download_error(station, error) from error
    try:
        read_weather(files.epw)
    except ValueError as error:
        raise BemsweepError(
            f"{station.url} holds no whole EPW: {error}; nothing was stored, try other years of the station"
        ) from error
    return files


def _download_error(station: WeatherStation, error: Exception) -> BemsweepError:
    """Return what a failed download means; idfkit raises RuntimeError from what happened."""
    cause = error.__cause__ or error
    if isinstance(cause, HTTPError):
        cause.close()  # it holds the connection
    if isinstance(cause, HTTPError) and cause.code in (401, 403, 404, 410):
        return BemsweepError(
            f"{station.url} is not to be had ({cause.code} {cause.reason}): try other years of the station"
        )
    if isinstance(cause, (BadZipFile, EOFError, zlib.error)):
        return InfrastructureError(
            f"what came from {station.url} is no whole archive ({cause}): try again; a proxy may have sent"
            " a page in its place, or the connection broke off"
        )
    if isinstance(cause, (OSError, HTTPException)):
        return InfrastructureError(f"no weather from {station.url}: {type(cause).__name__}: {cause}; try again")
    return BemsweepError(f"{station.url}: {error}; nothing was stored, try other years of the station")


def _stations(found: Iterable[tuple[WeatherStation, float | None]], limit: int) -> list[Station]:
    """Return files gathered by station, in their order."""
    groups: dict[tuple[str, ...], list[tuple[WeatherStation, float | None]]] = {}
    for station, distance_km in found:
        key = (station.country, station.state, station.city, station.wmo)
        if key in groups or len(groups) < limit:
            groups.setdefault(key, []).append((station, distance_km))
    return [_station(entries) for entries in groups.values()]


def _station(entries: list[tuple[WeatherStation, float | None]]) -> Station:
    (first, distance_km), *_ = entries
    ordered = sorted((station for station, _ in entries), key=_newest_first)
    return Station(
        name=first.display_name.split(",", maxsplit=1)[0],
        country=first.country,
        state=first.state,
        wmo=first.wmo,
        latitude=first.latitude,
        longitude=first.longitude,
        elevation_m=first.elevation,
        distance_km=None if distance_km is None else round(distance_km, 1),
        files=tuple(StationFile(station.filename_stem, _years(station), station.source) for station in ordered),
    )


def _years(station: WeatherStation) -> str:
    """Return the years of a file, as its name ends with them."""
    return station.dataset_variant.partition(".")[2] or "all"


def _newest_first(station: WeatherStation) -> tuple[int, str]:
    years = _years(station)
    return (0 if years == "all" else -int(years[-4:]), station.filename_stem)


def _nearest_numbers(wmo: str, index: StationIndex) -> str:
    """Return the stations with the nearest numbers, which lie near each other."""
    places = {station.wmo: station.display_name for station in index.stations if station.wmo.isdigit()}
    if not wmo.isdigit() or not places:
        return ""
    near = sorted(places, key=lambda number: abs(int(number) - int(wmo)))[:3]
    return f"; near it are {'; '.join(f'{number} ({places[number]})' for number in near)}"


def _nearest_ids(name: str, index: StationIndex) -> str:
    """Return up to three ids, each of another station, for what somebody may have meant."""
    words = re.sub(r"[._-]+", " ", re.sub(r"_TMYx.*$|\.(epw|ddy|zip)$", "", name))
    found = _stations(((match.station, None) for match in index.search(words, limit=len(index))), 3)
    if not found:
        return nearest(name, (station.filename_stem for station in index.stations))
    return f" (did you mean {' or '.join(station.files[0].id for station in found)}?)"
