"""A real HTTP server with the faults that the web has, and a real FTP server; both on this machine only."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from s3_servers import free_ports


@contextmanager
def web_server(files, *, cut=(), statuses=None, redirects=None, password=""):
    """Give the URL of a server of `files`, path -> content, on loopback.

    Parameters
    ----------
    files
        What it serves; anything else is not found.
    cut
        Paths of which half arrives, before the connection ends.
    statuses
        Path -> status that is answered instead.
    redirects
        Path -> where it sends whoever asks.
    password
        What must stand in the header Authorization.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = unquote(urlsplit(self.path).path)
            content = files.get(path)
            status = (statuses or {}).get(path, 200 if content is not None else 404)
            if password and self.headers.get("Authorization") != password:
                status = 403
            if target := (redirects or {}).get(path):
                status = 302
            self.send_response(status)
            if target:
                self.send_header("Location", target)
            body = content if status == 200 else b"an error page"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[: len(body) // 2] if path in cut else body)

        do_HEAD = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_):
            pass

    with served(Handler) as url:
        yield url


@contextmanager
def served(handler):
    """Give the URL of a server on loopback that answers as `handler` says."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def ftp_server(folder):
    """Give the URL of an FTP server of a folder, for everybody to read."""
    (port,) = free_ports(1)
    command = [sys.executable, "-W", "ignore", "-m", "pyftpdlib", "-i", "127.0.0.1", "-p", str(port), "-d", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield f"ftp://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
