"""The cluster file: where variants run, as pure data.

Decides which settings each kind of cluster has, which of them would make code run, and what is wrong with a file, all
of it at once. Never connects, starts or asks anything: `bemsweep.clusters` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    StrictBool,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic import Field as Setting

from bemsweep.cores import usable_cores
from bemsweep.errors import ClusterFileError, Problem, StudyError, nearest
from bemsweep.parts import Part
from bemsweep.redaction import is_secret
from bemsweep.studyfile import Lines, parse_yaml, shown, study_problems
from bemsweep.units import read_size
from bemsweep.vm_types import is_arm, vcpus

__all__ = ["Cluster", "Coiled", "Local", "Range", "Scheduler", "Slurm", "Tls", "read_cluster"]

_LEAST_MEMORY = 256 * 2**20
"""Bytes; a worker's own process takes nearly as many."""

_Whole = Annotated[int, Setting(strict=True, ge=1)]

_DURATION = re.compile(r"\d+(\.\d+)? *(s|seconds?|m|minutes?|h|hours?|d|days?)")
_WALLTIME = re.compile(r"(\d+-\d+(:\d\d){0,2}|\d+(:\d\d){0,2})")
_WORD = re.compile(r"[\w.,:@+-]+")
_FOLDER = re.compile(r"(~/)?([\w./@+-]|\$\w+|\$\{\w+\})+")
_ADDRESS = re.compile(r"(?:tcp|tls|ws|wss)://(?P<host>[\w.-]+|\[[0-9a-fA-F:]+\]):\d+")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_ASSIGNED = re.compile(r"\b([A-Za-z_]\w*)=")
_THIS_MACHINE = re.compile(r"localhost|127(\.\d+){3}|\[::1\]")


class Range(Part):
    """How many, at least and at most: a number, or ``{min: 2, max: 40}``."""

    min: Annotated[int, Setting(strict=True, ge=0)]
    """As many stay, work or not."""
    max: _Whole
    """So many there are while there is enough to do."""

    @field_validator("max")
    @classmethod
    def _check_order(cls, most: int, info: ValidationInfo) -> int:
        if most < info.data.get("min", 0):
            raise ValueError(f"max is {most}, less than min, {info.data['min']}")
        return most

    def times(self, each: int) -> Range:
        """Return the range of `each` as many."""
        return Range(min=self.min * each, max=self.max * each)

    def __str__(self) -> str:
        return str(self.max) if self.min == self.max else f"{self.min} to {self.max}"


def _read_range(given: Any) -> Any:
    if isinstance(given, int) and not isinstance(given, bool):
        if given < 1:
            raise ValueError(f"{given} is too few: 1 or more, or {{min: 0, max: 20}}")
        return {"min": given, "max": given}
    if not isinstance(given, (dict, Range)):
        raise ValueError(f"this takes a number or {{min: 2, max: 20}}, not {shown(given)}")
    return given


_Range = Annotated[Range, BeforeValidator(_read_range)]


def _read_price(given: Any) -> Any:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < float("inf"):
        raise ValueError(f"price_per_hour takes USD, more than 0, such as 0.12, not {shown(given)}")
    return float(given)


_Price = Annotated[float, BeforeValidator(_read_price)]


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    """Return the check that a text is of a form: what is written to a job's script must not act in its shell."""

    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{shown(text)} is no {what}")
        return text

    return AfterValidator(check)


_Duration = Annotated[StrictStr, _matching(_DURATION, "duration: write 30 minutes or 2 hours")]
_Word = Annotated[StrictStr, _matching(_WORD, "name: letters, digits and . , : @ + - _")]


class Local(Part):
    """The cores of this machine."""

    cluster: Literal["local"] = "local"
    """``local``."""
    processes: _Whole | None = None
    """How many worker processes; None for threads of this process, which start at once."""
    threads: _Whole | None = None
    """How many engines run at once, in all processes together; None for one for each core."""
    price_per_hour: _Price | None = None
    """What an hour of this machine costs, USD; None if that is not known."""

    @field_validator("threads")
    @classmethod
    def _check_threads(cls, threads: int | None, info: ValidationInfo) -> int | None:
        if threads is not None and threads % (processes := info.data.get("processes") or 1):
            raise ValueError(f"{threads} threads cannot be shared evenly by {processes} processes")
        return threads

    @property
    def threads_each(self) -> int:
        """How many engines run at once in each process."""
        return max(1, (self.threads or usable_cores()) // (self.processes or 1))

    @property
    def threads_at_once(self) -> Range:
        """How many engines run at once."""
        return Range(min=1, max=1).times((self.processes or 1) * self.threads_each)


def _read_path(given: Any, info: ValidationInfo) -> Path:
    if not isinstance(given, str) or not given.strip() or "\n" in given or "-----BEGIN" in given:
        raise ValueError("this takes the path of a file, not what is in it")
    return Path((info.context or {}).get("folder", "")) / Path(given).expanduser()


_File = Annotated[Path, BeforeValidator(_read_path)]


class Tls(Part):
    """The files by which the scheduler and this machine know each other; paths start from the cluster file's folder."""

    ca: _File
    """The authority that signed all certificates, PEM."""
    cert: _File
    """This machine's certificate, PEM."""
    key: _File
    """Its key, PEM."""


class Scheduler(Part):
    """A Dask scheduler that is running."""

    cluster: Literal["scheduler"] = "scheduler"
    """``scheduler``."""
    address: StrictStr
    """Such as ``tls://10.0.0.1:8786``."""
    tls: Tls | None = None
    """None for what Dask's own configuration says."""
    price_per_hour: _Price | None = None
    """What an hour of a worker costs, USD; None if that is not known."""

    @field_validator("address")
    @classmethod
    def _check_address(cls, address: str) -> str:
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"{shown(address)} is no address of a scheduler: write tls://HOST:8786 or tcp://HOST:8786")
        return address

    @field_validator("tls")
    @classmethod
    def _check_protocol(cls, tls: Tls | None, info: ValidationInfo) -> Tls | None:
        if tls is not None and (address := info.data.get("address", "tls://")).startswith(("tcp://", "ws://")):
            raise ValueError(f"{address} speaks without TLS: write tls://{address.partition('://')[2]}")
        return tls

    @property
    def threads_at_once(self) -> Range | None:
        """How many engines run at once: None, as only the scheduler knows."""
        return None


def _read_spot(given: Any) -> Any:
    if given not in (True, False, "with_fallback") or isinstance(given, int) != isinstance(given, bool):
        hint = nearest(given, ["with_fallback"]) if isinstance(given, str) else ""
        raise ValueError(f"{shown(given)} is none of false, true and with_fallback{hint}")
    return given


def _read_memory(given: Any) -> int:
    size = read_size(given)
    if size < _LEAST_MEMORY:
        raise ValueError(f"no worker fits into {shown(given)}, which is {size:,} bytes: write 8 GiB, say")
    return size


def _read_names(given: Any) -> Any:
    # No message shows what was given instead: it may be the value of a variable.
    if not isinstance(given, list) or any(not isinstance(name, str) or not _VARIABLE.fullmatch(name) for name in given):
        raise ValueError("send_env takes the names of variables, [AWS_PROFILE], never their values")
    return given


class Coiled(Part):
    """Virtual machines in a cloud account of yours, started by Coiled."""

    cluster: Literal["coiled"] = "coiled"
    """``coiled``."""
    workers: _Range
    """How many virtual machines, or ``{min: 2, max: 40}`` to follow the work."""
    threads: _Whole | None = None
    """How many engines run at once on each; None for one for each virtual CPU."""
    vm_types: list[_Word] = Setting(min_length=1)
    """Types of virtual machine, any of which will do, such as ``[c7a.large]``."""
    region: _Word | None = None
    """The cloud's region; None for that of the store's bucket where it can be told, else the workspace's own."""
    spot: Annotated[StrictBool | Literal["with_fallback"], BeforeValidator(_read_spot)] = "with_fallback"
    """Whether machines are cheaper ones that the cloud may take back; ``with_fallback`` for others while there are
    none."""
    idle_timeout: _Duration = "1 hour"
    """The machines end after so long without work."""
    no_client_timeout: _Duration = "30 minutes"
    """The machines end so long after the last connection to them was lost."""
    cluster_timeout: _Duration | None = None
    """The machines end after so long, whatever they are at; None for no limit."""
    workspace: _Word | None = None
    """Coiled's workspace; None for your default one."""
    tags: dict[StrictStr, StrictStr] = {}
    """What the cloud's bill shows beside each machine."""
    send_env: Annotated[list[StrictStr], BeforeValidator(_read_names)] = []
    """Names of variables of this machine that the workers get, past Coiled's own servers."""
    price_per_hour: _Price | None = None
    """What an hour of a virtual machine costs, Coiled's own charge included, USD; None for list prices."""

    @field_validator("vm_types")
    @classmethod
    def _check_vm_types(cls, vm_types: list[str], info: ValidationInfo) -> list[str]:
        if arm := [name for name in vm_types if is_arm(name)]:
            raise ValueError(f"{', '.join(arm)} have ARM processors: the engine is built for x86-64, such as c7a.large")
        found = {vcpus(name) for name in vm_types}
        if not info.data.get("threads") and (len(found) > 1 or None in found):
            told = ", ".join(f"{name}: {vcpus(name) or 'unknown'}" for name in vm_types)
            raise ValueError(f"say how many `threads` each worker has: the virtual CPUs are not one number ({told})")
        return vm_types

    @property
    def threads_each(self) -> int:
        """How many engines run at once on each virtual machine."""
        return self.threads or vcpus(self.vm_types[0]) or 1

    @property
    def threads_at_once(self) -> Range:
        """How many engines run at once."""
        return self.workers.times(self.threads_each)

    @property
    def is_spot(self) -> bool:
        """True if some or all machines are spot ones."""
        return self.spot is not False


class Slurm(Part):
    """Jobs on a cluster of machines that Slurm shares out."""

    cluster: Literal["slurm"] = "slurm"
    """``slurm``."""
    jobs: _Range
    """How many jobs, each a worker, or ``{min: 1, max: 40}`` to follow the work."""
    cores: _Whole
    """How many cores each job has, with an engine on each."""
    memory: Annotated[int, BeforeValidator(_read_memory)]
    """How much each job has, such as ``8 GiB``: 300 MB for an engine, and 500 MB for the worker. Bytes."""
    walltime: Annotated[StrictStr, _matching(_WALLTIME, "time limit of Slurm: write 02:00:00 or 1-12:00:00")]
    """How long each job lasts; longer than any variant."""
    partition: _Word | None = None
    """Slurm's partition; None for its default."""
    account: _Word | None = None
    """Which account is charged; None for your default."""
    scratch: Annotated[StrictStr, _matching(_FOLDER, "folder: a path without spaces, such as $TMPDIR")] | None = None
    """A fast disk of the node where engines work; None for the node's folder for temporary files."""
    interface: _Word | None = None
    """The network interface over which workers and scheduler speak, such as ``ib0``; None for the default."""
    setup: list[StrictStr] = []
    """Lines of shell that each job runs before its worker starts, such as ``module load gcc``."""
    price_per_hour: _Price | None = None
    """What an hour of a job costs, USD; None if that is not known."""

    @property
    def threads_at_once(self) -> Range:
        """How many engines run at once."""
        return self.jobs.times(self.cores)


Cluster = Local | Scheduler | Coiled | Slurm
"""What a cluster file says."""

_KINDS: Mapping[str, type[Local | Scheduler | Coiled | Slurm]] = {
    "local": Local,
    "scheduler": Scheduler,
    "coiled": Coiled,
    "slurm": Slurm,
}


def read_cluster(path: str | Path, *, allow_python: bool = False) -> Cluster:
    """Read a cluster file; nothing that it names is opened, run or connected to.

    Parameters
    ----------
    path
        A YAML 1.2 file with the key ``cluster: local | scheduler | coiled | slurm``.
    allow_python
        True for a file that may make code run here: lines of `setup`, a scheduler on another machine, whose answers
        Python unpickles.

    Returns
    -------
    Local or Scheduler or Coiled or Slurm
        What it says, checked in form.

    Raises
    ------
    ClusterFileError
        The file cannot be read or is no cluster file; every problem with its line.
    """
    path = Path(path)
    try:
        data, lines = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClusterFileError([Problem(f"cannot read the cluster file {path}: {error}")]) from None
    except UnicodeDecodeError as error:
        raise ClusterFileError([Problem(f"{path} is not encoded as UTF-8: {error.reason}")]) from None
    except StudyError as error:
        raise ClusterFileError(error.problems) from None
    if not isinstance(data, dict):
        raise ClusterFileError([Problem(f"{path} holds no mapping of cluster, workers …", line=1)])
    settings = {str(key): value for key, value in data.items()}
    kind = settings.get("cluster")
    if not isinstance(kind, str) or kind not in _KINDS:
        told = f"cluster: {', '.join(_KINDS)}: one of them is needed, not {shown(kind)}"
        hint = nearest(kind, _KINDS) if isinstance(kind, str) else ""
        raise ClusterFileError([_problem(f"{told}{hint}", ("cluster",), lines)])
    problems = [_problem(message, place, lines) for place, message in _credentials(settings, ())]
    if not allow_python:
        problems += [_problem(message, place, lines) for place, message in _runs_code(settings)]
    try:
        read = _KINDS[kind].model_validate(settings, context={"folder": path.resolve().parent})
    except ValidationError as error:
        parts: dict[str, type[BaseModel]] = {"": _KINDS[kind], **_PARTS}
        told_already = {problem.path for problem in problems}
        found = study_problems(error, settings, lines, parts=parts)
        problems += [problem for problem in found if problem.path not in told_already]
    if problems:
        raise ClusterFileError(sorted(problems, key=lambda problem: problem.line or 0))
    return read


_PARTS: Mapping[str, type[BaseModel]] = {"workers": Range, "jobs": Range, "tls": Tls}
_Place = tuple[str | int, ...]


def _problem(message: str, place: _Place, lines: Lines) -> Problem:
    line = next((lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in lines), None)
    return Problem(message, ".".join(map(str, place)), line)


_INSTEAD = {
    "coiled": "`coiled login` keeps Coiled's own; of others name the variable in send_env",
    "slurm": "put it into the environment of the shell that starts bemsweep, which Slurm passes on",
}


def _credentials(settings: Mapping[str, Any], place: _Place) -> Iterator[tuple[_Place, str]]:
    """Yield where something is named like a credential, at any depth; its value is never shown."""
    instead = _INSTEAD.get(str(settings.get("cluster")), "keep it in the environment")
    for name, value in _named(settings, place):
        if name[-2:] != ("tls", "key") and is_secret(str(name[-1])) and value not in (None, ""):
            yield name, f"{str(name[-1])!r} is a credential, which no cluster file may hold: {instead}"
    setup = settings.get("setup")
    for number, line in enumerate(setup if isinstance(setup, list) else ()):
        if found := [name for name in _ASSIGNED.findall(str(line)) if is_secret(name)]:
            yield ("setup", number), f"{found[0]!r} is a credential, which no cluster file may hold: {instead}"


def _named(settings: Mapping[Any, Any], place: _Place) -> Iterator[tuple[_Place, Any]]:
    for name, value in settings.items():
        yield (*place, str(name)), value
        if isinstance(value, Mapping):
            yield from _named(value, (*place, str(name)))


def _runs_code(settings: Mapping[str, Any]) -> Iterator[tuple[_Place, str]]:
    """Yield what a cluster file has that would make code of its author's choice run."""
    allowing = "look at it, then give --allow-python (in Python: allow_python=True)"
    if settings["cluster"] == "slurm" and settings.get("setup"):
        yield ("setup",), f"setup runs code on the nodes: {allowing}"
    address = settings.get("address")
    found = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if settings["cluster"] == "scheduler" and found and not _THIS_MACHINE.fullmatch(found["host"]):
        yield ("address",), f"who runs the scheduler {address} can run code here: {allowing}"
