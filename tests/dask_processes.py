"""A Dask scheduler and workers as processes of their own, over TLS, each of which can be killed and started again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from distributed.security import Security

from s3_servers import die_with_parent, free_ports

_READY_S = 60.0


class TlsCluster:
    """A scheduler and workers of one thread each; `file` is the cluster file that names them.

    Parameters
    ----------
    folder
        For certificates, logs and the file.
    workers
        How many.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder, self._workers = folder, workers
        (port,) = free_ports(1)
        self._port, self.address = str(port), f"tls://127.0.0.1:{port}"
        self._processes: list[subprocess.Popen[bytes]] = []
        made = Security.temporary().get_tls_config_for_role("client")
        for name in ("ca_file", "cert", "key"):
            (folder / f"{name}.pem").write_text(made[name])
        self.file = folder / "scheduler.yaml"
        tls = "tls: {ca: ca_file.pem, cert: cert.pem, key: key.pem}"
        self.file.write_text(f"cluster: scheduler\naddress: {self.address}\n{tls}\n")

    def start(self) -> TlsCluster:
        """Start the scheduler and its workers, which wait for it."""
        self._spawn("scheduler", "--host", "127.0.0.1", "--port", self._port, "--no-dashboard")
        for _ in range(self._workers):
            where = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self._folder))
            self._spawn("worker", self.address, *where)
        return self

    def stop(self) -> None:
        """End them all at once, as a machine that is switched off does."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        self._processes = []

    def kill_scheduler(self) -> None:
        """End the scheduler, and wait for the workers to follow it."""
        self._processes[0].kill()
        until = time.monotonic() + _READY_S
        while any(process.poll() is None for process in self._processes):
            assert time.monotonic() < until, "a worker outlives its scheduler"
            time.sleep(0.05)
        self._processes = []

    def _spawn(self, kind: str, *arguments: str) -> None:
        files = {"tls-ca-file": "ca_file.pem", "tls-cert": "cert.pem", "tls-key": "key.pem"}
        tls = [f"--{name}={self._folder / file}" for name, file in files.items()]
        with (self._folder / f"{kind}.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments, "--protocol", "tls", *tls],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks the kernel
                )
            )
