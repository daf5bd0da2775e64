"""A Slurm of one node: its own configuration, key, ports and folders, started and ended as processes of its own.

``PYTHONPATH=tests python -m slurm.one_node FOLDER`` starts one, prints what to set and waits for Ctrl-C; ``--install``
in place of the folder installs its programs where this is root of a machine with apt. The tests install nothing.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue")
PACKAGES = ("slurm-wlm", "munge")
_SBIN = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/sbin"))
_CGROUPS = ("disabled", "autodetect")
"""What slurmd is told of control groups, which it does not need here; versions before 23 know only the second."""
_READY_S = 20.0
_CONFIG = """\
ClusterName=bemsweep
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0
KillWait=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=16000
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP
"""


class NoSlurmError(Exception):
    """Slurm cannot run on this machine; says what it answered."""


class OneNode:
    """Slurm with one node in a folder of its own; `environment` is what its commands need."""

    def __init__(self, folder: Path, *, cpus: int = 4) -> None:
        self.folder, self._cpus = folder, cpus
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> OneNode:
        for cgroups in _CGROUPS:
            try:
                return self._start(cgroups)
            except NoSlurmError:
                self.stop()
                if cgroups == _CGROUPS[-1]:
                    raise
        raise AssertionError

    def _start(self, cgroups: str) -> OneNode:
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)  # munge wants its socket's folder to be open to all
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        settings = {"host": platform.node().partition(".")[0], "folder": self.folder, "cpus": self._cpus}
        settings |= dict(zip(("controller", "node"), _free_ports(2), strict=True))
        (self.folder / "slurm.conf").write_text(_CONFIG.format(**settings))
        (self.folder / "cgroup.conf").write_text(f"CgroupPlugin={cgroups}\nIgnoreSystemd=yes\n")
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        munge = [
            "munged",
            "--foreground",
            "--force",
            *(f"--{name}={self.folder / file}" for name, file in files.items()),
        ]
        self._spawn("munged", munge)
        self._wait("munged", (self.folder / "munge.socket").exists)
        self._spawn("slurmctld", ["slurmctld", "-D", "-f", str(self.folder / "slurm.conf")])
        self._spawn("slurmd", ["slurmd", "-D", "-f", str(self.folder / "slurm.conf")])
        self._wait("slurmd", lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"))
        return self

    def ask(self, *command: str) -> str:
        """Return what one of Slurm's commands prints."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout

    def jobs(self) -> list[str]:
        """Return the ids of jobs that run."""
        return self.ask("squeue", "-h", "-t", "running", "-o", "%i").split()

    def wait_for_end(self) -> None:
        """Wait until no job is left, not even one that is being ended: slurmd kills what does not end by itself."""
        until = time.monotonic() + _READY_S
        while self.ask("squeue", "-h", "-o", "%i").strip() and time.monotonic() < until:
            time.sleep(0.05)

    def stop(self) -> None:
        if self._processes:
            self.ask("scancel", "--user=root")
            self.wait_for_end()
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes = []

    def _spawn(self, name: str, command: list[str]) -> None:
        path = os.pathsep.join((os.environ.get("PATH", ""), _SBIN))
        program = shutil.which(command[0], path=path) or command[0]
        environment = {**os.environ, **self.environment, "PATH": path}
        with (self.folder / f"{name}.out").open("wb") as output:
            self._processes.append(
                subprocess.Popen([program, *command[1:]], stdout=output, stderr=output, env=environment)
            )

    def _wait(self, name: str, is_ready) -> None:
        until = time.monotonic() + _READY_S
        while not is_ready():
            if time.monotonic() > until or any(process.poll() is not None for process in self._processes):
                said = " | ".join((self.folder / f"{name}.out").read_text(errors="replace").splitlines()[-3:])
                raise NoSlurmError(f"{name} does not run on this machine: {said}")
            time.sleep(0.05)


def missing_programs() -> list[str]:
    """Return which of Slurm's programs this machine lacks."""
    path = os.pathsep.join((os.environ.get("PATH", ""), _SBIN))
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def why_not() -> str:
    """Return why Slurm cannot be tried here, ``""`` if it may be."""
    if not _is_root():
        return "a Slurm of the test's own needs root"
    if missing := missing_programs():
        return f"no {', '.join(missing)}: as root of Debian or Ubuntu, `make slurm` installs them"
    return ""


def install() -> str:
    """Install what is missing where that can be done by apt; return what came of it."""
    if not missing_programs():
        return "Slurm is there"
    if not _is_root() or shutil.which("apt-get") is None:
        return f"{why_not()}; its tests are skipped"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if left := missing_programs():
        return f"no {', '.join(left)}, its tests are skipped; apt-get says: {' '.join(done.stderr.split())[-300:]}"
    return "Slurm is installed"


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _main() -> None:
    if sys.argv[1] == "--install":
        print(install())  # noqa: T201
        return
    if why := why_not():
        sys.exit(why)
    node = OneNode(Path(sys.argv[1]).absolute()).start()
    print(f"export SLURM_CONF={node.environment['SLURM_CONF']}   # Ctrl-C ends it")  # noqa: T201
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        node.stop()


if __name__ == "__main__":
    _main()
