"""The command line of weather: stations found without a network, their files downloaded into a store.

Turns words into calls of `bemsweep.weather_stations` and answers into lines or JSON. It never decides what fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bemsweep.console import DEFAULT_STORE, JsonOption, StoreOption, out, print_json

if TYPE_CHECKING:
    from bemsweep.weather_stations import Station

__all__ = ["weather_app"]

weather_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Weather files of the world's stations.")


# A position south of the equator begins like an option.
@weather_app.command("search", context_settings={"ignore_unknown_options": True})
def search_command(
    text: Annotated[
        list[str], typer.Argument(metavar="TEXT|LAT,LON", help="Name, WMO number or id; or a position in degrees.")
    ],
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many stations at most.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Find stations by name, or the nearest ones to a position; needs no network."""
    from bemsweep.weather_stations import search  # noqa: PLC0415 - idfkit takes a second to import

    if unknown := [word for word in text if word.startswith("--")]:
        raise typer.BadParameter(f"no option {unknown[0]}: --limit, --json")
    found = search(" ".join(text), limit=limit)
    if as_json:
        print_json([station.to_dict() for station in found])
        return
    for station in found:
        out.print(_described(station))
    out.print("download one with: bemsweep weather download ID, or WMO for its newest years")


@weather_app.command("download")
def download_command(
    name: Annotated[str, typer.Argument(metavar="WMO_OR_ID", help="As `bemsweep weather search` tells them.")],
    store: StoreOption = DEFAULT_STORE,
    *,
    as_json: JsonOption = False,
) -> None:
    """Put a station's EPW and its design days (.ddy) into the store, and print the line for a study file."""
    from bemsweep.store import Store  # noqa: PLC0415 - fsspec
    from bemsweep.weather_stations import download, find_file  # noqa: PLC0415 - idfkit takes a second to import

    stored = download(find_file(name), Store(store))
    if as_json:
        print_json({"label": stored.label, "epw": stored.epw, "ddy": stored.ddy, "stat": stored.stat})
    else:
        out.print(stored.line)


def _described(station: Station) -> str:
    """Return a station as lines: itself, then its files."""
    place = ", ".join(word for word in (station.name, station.state, station.country) if word)
    facts = [f"WMO {station.wmo or '-'}", f"{station.latitude:.2f},{station.longitude:.2f}"]
    if station.distance_km is not None:
        facts.append(f"{station.distance_km:.1f} km away")
    lines = [f"{place}: {', '.join(facts)}"]
    lines += [f"  {file.years:<9}  {file.source:<13}  {file.id}" for file in station.files]
    return "\n".join(lines)
