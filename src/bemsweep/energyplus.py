"""Finding an EnergyPlus build on this machine, and calling it.

A build is either the shared library of the wheel ``pyenergyplus-lbnl`` or an installed executable.
Nothing here edits a model or reads a result, and nothing here loads the library by itself:
`Library` belongs into a process of its own, because the library leaks and may crash.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bemsweep.errors import EngineNotFoundError, InfrastructureError
from bemsweep.scratch import open_scratch

__all__ = ["Build", "EnergyPlus", "Executable", "Library", "build_at", "find_builds", "load"]

_LIBRARY_NAME = {"darwin": "libenergyplusapi.dylib", "win32": "EnergyPlusAPI.dll"}.get(
    sys.platform, "libenergyplusapi.so"
)
_ADVICE = (
    "install one with `pip install pyenergyplus-lbnl==25.2.0`, set ENERGYPLUS_DIR to the folder of an installed "
    "EnergyPlus, or put its `energyplus` on PATH"
)
_ASKING_TIMEOUT_S = 60.0

_TINY_MODEL = """Version,{version};
Building,Tiny,0,Suburbs,0.04,0.4,FullExterior,25,6;
GlobalGeometryRules,UpperLeftCorner,Counterclockwise,World;
"""


@dataclass(frozen=True)
class Build:
    """Where an EnergyPlus build lies; what it is, only it can say."""

    kind: Literal["library", "executable"]
    """How the build is run."""
    path: Path
    """The shared library or the executable."""

    @property
    def can_expand(self) -> bool:
        """True if it is run with ExpandObjects, without which HVACTemplate objects do nothing."""
        return self.kind == "executable" and _beside(self.path, "ExpandObjects") is not None


class EnergyPlus(Protocol):
    """A build that can be called."""

    @property
    def version(self) -> str:
        """The string that the build reports itself."""

    def warm_up(self) -> None:
        """Do once what every run would do again, if the build can keep it."""

    def simulate(self, model: Path, weather: Path, *, has_templates: bool = False) -> int:
        """Run `model` in its own folder and return the exit code, negative for a signal.

        Side effects
        ------------
        Prints what it is at to the standard output of the process, file descriptor 1, a line at a time.
        """


def find_builds() -> list[Build]:
    """Return the EnergyPlus builds of this machine, the preferred one first.

    Looks in ``ENERGYPLUS_DIR``, then for the wheel ``pyenergyplus-lbnl``, then on ``PATH``.
    """
    places: list[Build | None] = []
    if folder := os.environ.get("ENERGYPLUS_DIR"):
        places.append(_executable_in(Path(folder)))
    places.append(_library_of_wheel())
    if on_path := shutil.which("energyplus"):
        places.append(Build("executable", Path(on_path)))
    return list(dict.fromkeys(build for build in places if build is not None))


def build_at(spec: str | Path | None = None) -> Build:
    """Return the build that `spec` names.

    Parameters
    ----------
    spec
        Path of an ``energyplus`` executable, of the shared library of a wheel, or of the folder that either
        lies in, such as one that ``pip install --target`` filled; None for the first that `find_builds` finds.

    Raises
    ------
    EngineNotFoundError
        There is none.
    """
    if spec is None:
        builds = find_builds()
        if not builds:
            raise EngineNotFoundError(f"no EnergyPlus on this machine: {_ADVICE}")
        return builds[0]
    path = Path(spec).expanduser().absolute()
    if path.is_dir():
        build = _executable_in(path) or _library_in(path)
        if build is None:
            raise EngineNotFoundError(f"no `energyplus` in the folder {path}: {_ADVICE}")
        return build
    if not path.is_file():
        raise EngineNotFoundError(f"no EnergyPlus at {path}: {_ADVICE}")
    if path.name == _LIBRARY_NAME:
        return Build("library", path)
    if not os.access(path, os.X_OK):
        raise EngineNotFoundError(f"{path} is not executable: name the `energyplus` program or its folder")
    return Build("executable", path)


def load(build: Build) -> EnergyPlus:
    """Make `build` ready to be called.

    Raises
    ------
    EngineNotFoundError
        It is there but is not EnergyPlus, or cannot be loaded.

    Side effects
    ------------
    Loads the shared library into this process.
    """
    return Library(build.path) if build.kind == "library" else Executable(build.path)


class Library:
    """The shared library, called through ctypes.

    Source: EnergyPlus C API, ``state.h`` and ``runtime.h``.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._api = ctypes.CDLL(str(path))
            self._api.stateNew.restype = ctypes.c_void_p
            self._api.stateDelete.argtypes = [ctypes.c_void_p]
            self._api.setConsoleOutputState.argtypes = [ctypes.c_void_p, ctypes.c_int]
            self._api.energyplus.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
            self._api.energyPlusVersion.restype = ctypes.c_char_p
        except (OSError, AttributeError) as error:
            raise EngineNotFoundError(f"{path} cannot be loaded as the EnergyPlus library: {error}") from error
        self.version: str = self._api.energyPlusVersion().decode()

    def warm_up(self) -> None:
        """Have the library parse its schema, which it keeps for all later runs and forks; it prints nothing."""
        version = self.version.removeprefix("EnergyPlus, Version ").partition("-")[0]
        with open_scratch() as folder:
            model = folder / "tiny.idf"
            model.write_text(_TINY_MODEL.format(version=version.rpartition(".")[0]), encoding="utf-8")
            _, state = self._call("--convert-only", "-d", str(folder), str(model), prints=False)
            self._api.stateDelete(state)

    def simulate(self, model: Path, weather: Path, *, has_templates: bool = False) -> int:  # noqa: ARG002
        """Run `model` in its own folder and return the exit code; the wheel cannot expand templates.

        What the run held is not freed: the process ends with it, which is faster.
        """
        returncode, _ = self._call("-d", str(model.parent), "-w", str(weather), str(model), prints=True)
        return returncode

    def _call(self, *arguments: str, prints: bool) -> tuple[int, int]:
        """Return the exit code and the state, which is the caller's to delete."""
        argv = [b"energyplus", *(os.fsencode(argument) for argument in arguments)]
        state = self._api.stateNew()
        self._api.setConsoleOutputState(state, int(prints))
        returncode = self._api.energyplus(state, len(argv), (ctypes.c_char_p * len(argv))(*argv))
        return returncode, state


class Executable:
    """An installed ``energyplus``, started as a child of the calling process and in its process group."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            answer = subprocess.run(
                [path, "--version"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_ASKING_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EngineNotFoundError(f"{path} does not tell its version: {error}") from error
        self.version = answer.stdout.decode(errors="replace").strip()
        if not self.version.startswith("EnergyPlus"):
            raise EngineNotFoundError(f"{path} is not EnergyPlus: it calls itself {self.version[:80]!r}")

    def warm_up(self) -> None:
        """Do nothing: a program that ends with its run keeps nothing."""

    def simulate(self, model: Path, weather: Path, *, has_templates: bool = False) -> int:
        """Run `model` in its own folder; one with HVACTemplate objects goes through ExpandObjects first.

        Raises
        ------
        InfrastructureError
            The executable cannot be started.
        """
        arguments: list[str | Path] = ["-d", model.parent, "-w", weather, model]
        if has_templates and _beside(self._path, "ExpandObjects") is not None:
            arguments.insert(0, "-x")
        try:
            with subprocess.Popen(
                [self._path, *arguments],
                cwd=model.parent,
                stdin=subprocess.DEVNULL,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads here
            ) as process:
                return process.wait()
        except OSError as error:
            raise InfrastructureError(f"{self._path} cannot be started: {error}") from error


def die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, 9)


def _library_of_wheel() -> Build | None:
    spec = importlib.util.find_spec("pyenergyplus")
    if spec is None or spec.origin is None:
        return None
    return _library_in(Path(spec.origin).parent.parent)


def _library_in(folder: Path) -> Build | None:
    path = folder / _LIBRARY_NAME
    return Build("library", path) if path.is_file() else None


def _executable_in(folder: Path) -> Build | None:
    path = _beside(folder / "energyplus", "energyplus")
    return None if path is None else Build("executable", path)


def _beside(path: Path, program: str) -> Path | None:
    found = path.parent / (f"{program}.exe" if sys.platform == "win32" else program)
    return found.absolute() if found.is_file() else None
