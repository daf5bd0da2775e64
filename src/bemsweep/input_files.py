"""The files that a study names: a path, a pattern, ``bundled:…``, a URL or a part of an archive becomes a local file.

Each is downloaded once, whole or not at all, and kept in the cache under its content. Decides nothing about
what is in a file, and never writes to where files come from.
"""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from bemsweep.cache import cache_folder, make_room
from bemsweep.errors import InputError, StoreError, nearest
from bemsweep.faults import Fault, fault_of, told
from bemsweep.filesystems import open_filesystem
from bemsweep.local_files import sha256_of, temporary_beside
from bemsweep.places import (
    beside,
    file_name,
    is_pattern,
    is_url,
    label_of,
    member_of,
    options_for,
    protocol_of,
    secret_in,
    unknown_protocols,
    zip_url,
)
from bemsweep.store import Store
from bemsweep.unpacking import members, unpack_gz, unpack_member

__all__ = ["CSV", "DDY", "EDITS", "EPW", "MODEL", "Input", "InputFiles"]

MODEL = (".idf", ".epjson")
"""Which file of an archive is meant where a model is wanted."""
EPW = (".epw",)
"""The same of a weather file."""
DDY = (".ddy",)
"""The same of design days."""
CSV = (".csv",)
"""The same of a design's table."""
EDITS = (*MODEL, ".csv", ".txt")
"""The same of what edits name: objects to insert, or a schedule's values."""

_WEB = ("http", "https")
_SILENCE_S = 30.0
_ADVICE_ON_THE_WEB = {
    Fault.FORBIDDEN: "the server does not let you read it: download it with your browser and name the file",
    Fault.BAD_SECRET: "the server wants you to log in: download it with your browser and name the file",
    Fault.UNREACHABLE: "no whole answer from the server: check the address and the network, or try again later",
    Fault.SERVER: "the server has a fault of its own: try again later",
    Fault.WRONG_ENDPOINT: "what answers there does not speak https as it should: check http against https",
}
_MOST_SHOWN = 10


@dataclass(frozen=True)
class Input:
    """One file of a study, on this machine."""

    path: Path
    """Where it can be read now."""
    sha256: str
    """Of its content."""
    source: str
    """As the study names it."""
    place: str = ""
    """Where it is: its path, its URL, or ``zip://NAME::ARCHIVE``; if left out, its path."""

    def __post_init__(self) -> None:
        if not self.place:
            object.__setattr__(self, "place", str(self.path))

    @property
    def suffix(self) -> str:
        """Its file name's suffix, which tells its format."""
        return self.path.suffix

    @classmethod
    def of(cls, path: Path, source: str, *, place: str = "") -> Input:
        """Return the input for a file, hashed.

        Parameters
        ----------
        path
            A local file.
        source
            As the study names it.
        place
            Where it comes from; ``""`` for `path` itself.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        return cls(path, sha256_of(path), source, place)


class InputFiles:
    """Finds the files of one study.

    Parameters
    ----------
    folder
        Where relative paths start from.
    storage_options
        Protocol or URL prefix -> what its filesystem is opened with.
    store
        Its options count for inputs of the same protocol too, if the study has none for them.
    """

    def __init__(
        self,
        folder: Path,
        storage_options: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        store: Store | None = None,
    ) -> None:
        self._folder = folder
        self._options = storage_options or {}
        self._store = None if store is None else (store.url, store.storage_options)
        self._copies: dict[str, Path] = {}

    def find(
        self, spec: str, *, label: str = "", suffixes: Sequence[str] = (), origin: Input | None = None
    ) -> Iterator[tuple[str, Input]]:
        """Yield label and file of each file that `spec` names.

        Parameters
        ----------
        spec
            A path, a pattern, ``bundled:…``, a URL, or ``zip://NAME::`` and any of these. A .gz is unpacked.
        label
            Of a single file; the files of a pattern are labelled by their names.
        suffixes
            Which file of a .zip is meant; none to leave a .zip as it is.
        origin
            The file that names it; None if the study does.

        Raises
        ------
        InputError
            There is none, it may not be read, cannot be reached or unpacked; says which and what to do.

        Side effects
        ------------
        Downloads and unpacks to the cache.
        """
        if wrong := secret_in(spec):
            raise InputError(wrong)
        with _told_of(spec):
            if spec.startswith("bundled:"):
                yield label, Input.of(_find_bundled(spec.removeprefix("bundled:")), spec)
                return
            member, outer = member_of(spec)
            if "::" in outer or outer.lower().startswith("zip://"):
                raise InputError("of fsspec's chains only zip://NAME.epw::ARCHIVE is known here")
            for place, is_matched in self._places(outer, origin):
                own = label_of(place) if is_matched else label
                if not member:
                    yield own, self._input(place, spec, suffixes)
                    continue
                for name, is_one_of_several in _chosen(self._copy(place), member):
                    yield (label_of(name) if is_one_of_several else own), self._member(place, name, spec)

    def find_one(self, spec: str, *, suffixes: Sequence[str] = (), origin: Input | None = None) -> Input:
        """Return the one file that `spec` names.

        Parameters
        ----------
        spec, suffixes, origin
            As for `find`.

        Raises
        ------
        InputError
            As for `find`, and if there are several.
        """
        found = [source for _, source in self.find(spec, suffixes=suffixes, origin=origin)]
        if len(found) > 1:
            raise InputError(f"{spec}: {len(found)} files match, name one of them")
        return found[0]

    def find_ddy(self, epw: Input) -> Input:
        """Return the .ddy beside an EPW, or in its archive.

        Raises
        ------
        InputError
            There is none, or it cannot be had.
        """
        place = epw.place
        member, archive = member_of(place)
        name = f"{PurePosixPath(_unpacked_name(file_name(place))).stem}.ddy"
        if member:
            with _told_of(archive):
                found = members(self._copy(archive), DDY)
            same = [one for one in found if one.casefold() == f"{PurePosixPath(member).with_suffix('.ddy')}".casefold()]
            chosen = same or found
            if len(chosen) == 1:
                return self.find_one(zip_url(chosen[0], archive))
            told = f"{len(found)} .ddy: {_listed(found)}" if found else "no .ddy"
            raise InputError(f"{archive}: holds {told}, none of them {name}")
        try:
            return self.find_one(name, origin=epw)
        except InputError:
            if not place.lower().endswith(".gz"):
                raise
            with suppress(InputError):
                return self.find_one(f"{name}.gz", origin=epw)
            raise

    def unknown_protocols(self) -> list[tuple[str, str]]:
        """Return the keys of the storage options that can never count, and what is wrong with each."""
        return list(unknown_protocols(self._options, fsspec.available_protocols()))

    # From a text to places

    def _places(self, spec: str, origin: Input | None) -> list[tuple[str, bool]]:
        """Return the places that a text names, sorted; and of each whether it was found by a pattern."""
        is_relative = not is_url(spec) and not _local(spec).is_absolute()
        if origin is not None and is_relative and (is_url(origin.place) or member_of(origin.place)[0]):
            return [(beside(origin.place, spec), False)]
        if is_url(spec):
            return self._matching(spec) if is_pattern(spec) and origin is None else [(spec, False)]
        return _local_places(spec, self._folder) if origin is None else [(_path_beside(origin, spec), False)]

    def _matching(self, pattern: str) -> list[tuple[str, bool]]:
        if protocol_of(pattern) in _WEB:
            raise InputError("over http there is no listing of files to match a pattern with: name each file")
        filesystem, path = self._open(pattern)
        # What a filesystem calls its files says nothing of the host: that stands in the text.
        fixed = re.split(r"[*?[]", pattern, maxsplit=1)[0].rpartition("/")[0]
        if "://" not in fixed:
            raise InputError("a pattern needs a bucket or a folder before it")
        if "*" not in pattern:  # brackets may be part of a name, which then means that file, as on this machine
            with suppress(_MissingError), self._told(pattern):
                if filesystem.info(path)["type"] == "file":
                    return [(pattern, False)]
        with self._told(pattern):
            root = str(filesystem._strip_protocol(fixed)).rstrip("/")  # noqa: SLF001 - fsspec has no other name for it
            found = filesystem.glob(path, detail=True)
        places = sorted(
            fixed + str(name)[len(root) :] for name, facts in found.items() if facts.get("type", "file") == "file"
        )
        if not places:
            with suppress(_MissingError), self._told(pattern):
                filesystem.ls(root)  # what globs finds nothing in a bucket that does not exist, either
            raise InputError("no file matches")
        return [(place, True) for place in places]

    # From a place to a local file

    def _input(self, place: str, source: str, suffixes: Sequence[str]) -> Input:
        path, name = self._copy(place), file_name(place)
        if name.lower().endswith(".zip") and suffixes:
            found = members(path, suffixes)
            if len(found) == 1:
                return self._member(place, found[0], source)
            wanted = " or ".join(suffixes)
            if found:
                such = zip_url(found[0], source)
                raise InputError(f"holds several {wanted}, name one, as in {such}: {_listed(found)}")
            raise InputError(f"holds no {wanted}, only {_listed(members(path))}")
        if name.lower().endswith(".gz"):
            path, digest = _kept(lambda to: unpack_gz(path, to), _unpacked_name(name))
            return Input(path, digest, source, place)
        return Input.of(path, source, place=place)

    def _member(self, archive: str, member: str, source: str) -> Input:
        copy = self._copy(archive)
        path, digest = _kept(lambda to: unpack_member(copy, member, to), PurePosixPath(member).name)
        return Input(path, digest, source, zip_url(member, archive))

    def _copy(self, place: str) -> Path:
        """Return a local file with what is at `place`."""
        member, archive = member_of(place)
        if member:
            copy = self._copy(archive)
            name = _chosen(copy, member)[0][0]
            return _kept(lambda to: unpack_member(copy, name, to), PurePosixPath(member).name)[0]
        if not is_url(place):
            return Path(place)
        if place not in self._copies:
            self._copies[place] = _kept(lambda to: self._download(place, to), file_name(place))[0]
        return self._copies[place]

    def _download(self, url: str, to: Path) -> None:
        filesystem, path = self._open(url)
        try:
            with self._told(url):
                if protocol_of(url) == "ftp":  # which leaves a file that it opens itself open
                    with to.open("wb") as file:
                        filesystem.get_file(path, file)
                else:
                    filesystem.get_file(path, str(to))
        except _MissingError as error:
            names = [] if protocol_of(url) in _WEB else self._names_beside(filesystem, url, path)
            if file_name(url) in names:
                raise _folder_error(url) from None
            raise InputError(f"{error}{nearest(file_name(url), names)}") from None
        if not to.is_file():  # some filesystems make a folder of a folder
            with suppress(OSError):
                to.rmdir()
            raise _folder_error(url)

    def _names_beside(self, filesystem: Any, url: str, path: str) -> list[str]:
        """Return which names there are in the folder, where it may be listed."""
        with suppress(InputError), self._told(url):
            listed = filesystem.ls(path.rstrip("/").rpartition("/")[0], detail=False)
            return [PurePosixPath(str(name)).name for name in listed]
        return []

    def _open(self, url: str) -> tuple[Any, str]:
        options = self._options_of(url)
        if protocol_of(url) in _WEB:
            options = _with_time_outs(options)
        with self._told(url):
            return open_filesystem(url, options)

    def _options_of(self, url: str) -> dict[str, Any]:
        return options_for(url, self._options, store=self._store)

    @contextmanager
    def _told(self, url: str) -> Iterator[None]:
        """Turn what a filesystem raises into `InputError`, and what is not there into its own kind.

        What it raised is not told along: it may show where a server sent us, which often is a signed URL.
        """
        try:
            yield
        except StoreError as error:  # of opening it
            raise InputError(f"{url}: {str(error).removeprefix(f'no store at {url}: ')}") from None
        except Exception as error:  # noqa: BLE001 - told as an error of the input, whatever it is
            fault = fault_of(error)
            if fault is Fault.MISSING:
                raise _MissingError(f"{url}: no such file") from None
            if protocol_of(url) in _WEB and fault in _ADVICE_ON_THE_WEB:
                raise InputError(f"{url}: {_ADVICE_ON_THE_WEB[fault]} ({type(error).__name__})") from None
            raise InputError(f"{url}: {told(error, self._options_of(url))}") from None


class _MissingError(InputError):
    """There is no such file, which the server said itself."""


def _folder_error(url: str) -> InputError:
    return InputError(f"it is a folder; for all files of one give a pattern such as {url.rstrip('/')}/*")


@contextmanager
def _told_of(spec: str) -> Iterator[None]:
    """Say of which text of the study an error tells; also of what this machine's own filesystem raises."""
    try:
        yield
    except InputError as error:
        told = str(error)
        raise InputError(told if told.startswith(f"{spec}: ") else f"{spec}: {told}") from None
    # ValueError: no name of a file; RuntimeError: no such ~user.
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{spec}: {error}") from error


def _with_time_outs(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options for http under which a silent server is told, and a large file may take its time."""
    try:
        from aiohttp import ClientTimeout  # noqa: PLC0415 - where nothing asks for http it may be absent
    except ImportError:
        return dict(options)  # opening the filesystem tells
    timeout = ClientTimeout(total=None, sock_connect=_SILENCE_S, sock_read=_SILENCE_S)
    return {**options, "client_kwargs": {"timeout": timeout, **options.get("client_kwargs", {})}}


def _local(spec: str) -> Path:
    head, mark, rest = spec.partition("://")
    return Path(rest if mark and head.lower() in ("file", "local") else spec).expanduser()


def _path_beside(origin: Input, spec: str) -> str:
    """Return where a file is that `origin` names: beside it, or beside what it is a link to."""
    for folder in dict.fromkeys((Path(origin.place).parent, Path(origin.place).resolve().parent)):
        if (path := folder / _local(spec)).is_file():
            return str(path)
    raise _missing(Path(origin.place).parent / _local(spec), spec)


def _local_places(spec: str, folder: Path) -> list[tuple[str, bool]]:
    # Links are not followed: the suffix counts, and what a link leads to may have none.
    path = (folder / _local(spec)).absolute()
    if path.is_file():
        return [(str(path), False)]
    if glob.has_magic(spec):
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207 - has a folder
        if not (files := [file for file in found if file.is_file()]):
            raise InputError(f"no file matches {path}")
        return [(str(file), True) for file in files]
    raise _missing(path, spec)


def _missing(path: Path, spec: str) -> InputError:
    if path.exists():
        return InputError(f"{path} is no file; for all files of a folder give a pattern such as {spec}/*")
    near = nearest(path.name, [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else [])
    return InputError(f"no such file{near}: looked for {path}")


def _chosen(archive: Path, member: str) -> list[tuple[str, bool]]:
    """Return the names in an archive that `member` means; and of each whether it was found by a pattern."""
    names = members(archive)
    if member in names:
        return [(member, False)]
    if same := [name for name in names if name.casefold() == member.casefold()]:
        return [(same[0], False)]
    if found := [name for name in names if fnmatch.fnmatchcase(name, member)]:
        return [(name, True) for name in found]
    raise InputError(f"holds no {member}{nearest(member, names)}: {_listed(names)}")


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_MOST_SHOWN])
    return f"{shown} and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else shown or "nothing"


def _unpacked_name(name: str) -> str:
    return name[:-3] if name.lower().endswith(".gz") else name


def _kept(write: Callable[[Path], None], name: str) -> tuple[Path, str]:
    """Return a file of the cache that `write` makes, and its sha256, under which it is kept; whole or not at all."""
    folder = cache_folder() / "downloads"
    with temporary_beside(folder / _safe_name(name)) as temporary:
        write(temporary)
        digest = sha256_of(temporary)
        path = folder / digest / _safe_name(name)
        path.parent.mkdir(exist_ok=True)
        temporary.replace(path)
    make_room(path)
    return path, digest


def _safe_name(name: str) -> str:
    """Return a name that a file of any system can have and that leads to no other folder."""
    safe = re.sub(r"[^\w .,()\[\]+-]", "_", name)[-100:]
    return safe if safe.strip(".") else "file"


def _find_bundled(name: str) -> Path:
    """Return a model (``ref/small_office``) or weather file of the engine's wheel."""
    try:
        from pyenergyplus import dataset  # noqa: PLC0415 - absent where an installed EnergyPlus is used
    except ImportError:
        raise InputError("no bundled files: pip install pyenergyplus-lbnl") from None
    files: dict[str, str] = {
        **{f"ref/{key}": value for key, value in dataset.ref_models.items()},
        **{f"ashrae/{key}": value for key, value in dataset.ashrae_models.items()},
        **dataset.weather_files,
    }
    if name not in files:
        raise InputError(f"no bundled file {name!r}{nearest(name, files)}")
    return Path(files[name])
