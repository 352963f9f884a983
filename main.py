"""Opens the desk: `python main.py` on this machine, `gunicorn main:app` for many."""

import argparse
import atexit
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr.errors import CxrError
from cxr.memory import return_memory

if TYPE_CHECKING:
    from cxr.reading.readers import Readers

GUNICORN_GIVES_UP = 4  # gunicorn's APP_LOAD_ERROR: with another status it would start the worker again and again


def __getattr__(name: str) -> Any:
    """`app`, made once, when gunicorn asks for it and not by importing this module."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    loading = _load_model()
    from cxr.desk.app import create_app

    try:
        app = create_app(readers=loading.result())
        atexit.register(app.extensions["intake"].close)  # a worker that is told to stop finishes what it reads
        return globals().setdefault("app", app)
    except CxrError as error:
        print(f"The desk does not start: {error}", file=sys.stderr, flush=True)
        raise SystemExit(GUNICORN_GIVES_UP) from None


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Serve the chest film desk to browsers of this machine; prints its address."
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others need CXR_SECRET_KEY and CXR_ALLOWED_HOSTS"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0: any free one")
    parser.add_argument(
        "--model",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="exported model file to read with, one for a task; the shipped ones serve the other tasks (but see "
        "CXR_SHIPPED_MODELS)",
    )
    chosen = parser.parse_args()
    loading = _load_model(chosen.model)
    from cxr.desk.serve import serve

    try:
        serve(chosen.host, chosen.port, loading.result())
    except CxrError as error:
        sys.exit(f"The desk does not start: {error}")


def _load_model(files: Sequence[Path] = ()) -> "Future[Readers]":
    """The readers, the default one ready, loaded in a thread while the caller imports all that pages are made of."""
    return_memory()
    import numpy as np

    from cxr.films.film import Film, Metadata
    from cxr.reading.readers import Readers
    from cxr.settings import Settings

    def load() -> Readers:
        readers = Readers.find(Settings.from_environment(), files)
        blank = Film(np.zeros((256, 256), np.float32), Metadata("PNG", 8))
        readers.of().read(blank)  # an engine's first forward pass is its slowest
        return readers

    thread = ThreadPoolExecutor(1)
    try:
        return thread.submit(load)
    finally:
        thread.shutdown(wait=False)


if __name__ == "__main__":
    main()
