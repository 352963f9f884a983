"""A desk on a port of this machine, for a browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import waitress
from flask import Flask
from waitress import wasyncore


@contextmanager
def served_at(app: Flask) -> Iterator[str]:
    """Its address."""
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=4)
    loop = threading.Thread(target=server.run, daemon=True)
    loop.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown()
        # Sockets are closed by the thread that selects on them: closed from here, they may be gone just as it does.
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
        loop.join()
