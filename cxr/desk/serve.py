"""The desk that `python main.py` opens: one process, waitress, and no sign-in while it listens on loopback alone."""

import os

import waitress
from flask import Flask
from waitress.server import MultiSocketServer

from cxr.desk.app import create_app
from cxr.desk.door import LOOPBACK
from cxr.errors import SettingError
from cxr.reading.readers import Readers
from cxr.settings import Settings

THREADS = 8


def serve(host: str, port: int, readers: Readers) -> None:
    """Open the desk of `readers`, print its address, and serve until it is closed. Raises of the CxrError family."""
    local = host in LOOPBACK
    settings = Settings.from_environment({"CXR_HEATMAP_FILES": str(int(local)), **os.environ})
    app = create_app(settings, local=local, readers=readers)
    try:
        server = _listen(app, host, port, settings)
        print(f"The desk is open at {_address(server)}  (Ctrl+C closes it)", flush=True)
        server.run()
    finally:
        app.extensions["intake"].close()


def _listen(app: Flask, host: str, port: int, settings: Settings) -> waitress.server.BaseWSGIServer | MultiSocketServer:
    most = 2 * settings.max_request_bytes  # the desk itself answers what is beyond its limit, with a page
    try:
        return waitress.create_server(app, host=host, port=port, threads=THREADS, max_request_body_size=most)
    except (OSError, OverflowError, ValueError) as error:
        raise SettingError(f"port {port} of {host} cannot be opened ({error}); choose another with --port.") from error


def _address(server: waitress.server.BaseWSGIServer | MultiSocketServer) -> str:
    # A name such as localhost may stand for several addresses (127.0.0.1 and ::1).
    listening = server.effective_listen if isinstance(server, MultiSocketServer) else [_socket_name(server)]
    return " and ".join(
        f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}" for host, port in listening
    )


def _socket_name(server: waitress.server.BaseWSGIServer) -> tuple[str, int]:
    return server.effective_host, server.effective_port
