"""The nginx of docs/many-desks.md, tried on loopback in front of two hosts of which one is down."""

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from cxr.desk.app import ROOT

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
AROUND = """
{user}daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {site}
}}
"""


class _Echo(BaseHTTPRequestHandler):
    """Answers with what the proxy says of a request, and the size of its body."""

    def do_POST(self) -> None:
        count = len(self.rfile.read(int(self.headers["Content-Length"])))
        told = [self.headers[name] for name in ("Host", "X-Forwarded-For", "X-Forwarded-Proto")]
        self.send_response(201)
        self.end_headers()
        self.wfile.write(" ".join([*told, str(count)]).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _site(up: int, down: int, port: int) -> str:
    """The block of the document, on loopback and without a certificate."""
    found = re.search(r"```nginx\n(.*?)```", (ROOT / "docs" / "many-desks.md").read_text(), re.DOTALL)
    assert found
    changes = {
        "10.0.0.11:8000": f"127.0.0.1:{down}",
        "10.0.0.12:8000": f"127.0.0.1:{up}",
        "listen 443 ssl": f"listen 127.0.0.1:{port}",
    }
    site = re.sub(r"ssl_certificate.*", "", found[1])
    for written, here in changes.items():
        assert written in site
        site = site.replace(written, here)
    return site


@contextmanager
def _open_nginx(folder: Path, site: str, port: int) -> Iterator[None]:
    assert NGINX
    user = "" if os.getuid() else "user root; "  # else its workers may not write to our folder
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, site=site, user=user))
    command = [NGINX, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(command)
    try:
        for _ in range(500):
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.skipif(not NGINX, reason="nginx is not installed (apt install nginx-light)")
def test_nginx_passes_uploads_over_a_host_that_is_down(tmp_path: Path, host: int) -> None:
    port, large = _free_port(), b"x" * 3_000_000  # more than nginx lets in by default
    with _open_nginx(tmp_path, _site(host, _free_port(), port), port):
        answers = [
            requests.post(f"http://127.0.0.1:{port}/films", data=large, headers={"Host": "desk.example"}, timeout=30)
            for _ in range(4)
        ]
    assert [(answer.status_code, answer.text) for answer in answers] == [
        (201, "desk.example 127.0.0.1 http 3000000")
    ] * 4
