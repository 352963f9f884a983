"""A bucket on loopback: moto's server, which speaks S3."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from unittest import mock

import requests

NAME = "films"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def open_bucket() -> Iterator[str]:
    """CXR_STORAGE_URL of an empty bucket; what its library asks for stands in the environment meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_ready(address)
        assert requests.put(f"{address}/{NAME}", timeout=10).ok
        with mock.patch.dict(os.environ, {**CREDENTIALS, "AWS_ENDPOINT_URL": address}):
            yield f"s3://{NAME}/desk"
    finally:
        server.kill()
        server.wait()


def _wait_until_ready(address: str, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with suppress(requests.ConnectionError):
            requests.get(f"{address}/moto-api/", timeout=5)
            return
        time.sleep(0.1)
    raise AssertionError("the bucket's server does not answer")
