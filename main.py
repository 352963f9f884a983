"""Opens the desk: `python main.py` on this machine, `gunicorn main:app` for many."""

import argparse
import atexit
import sys
from typing import Any

from cxr.errors import CxrError

GUNICORN_GIVES_UP = 4  # gunicorn's APP_LOAD_ERROR: with another status it would start the worker again and again


def __getattr__(name: str) -> Any:
    """`app`, made once, when gunicorn asks for it and not by importing this module."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cxr.desk.app import create_app

    try:
        app = create_app()
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
        action="append",
        default=[],
        help="exported model file to read with, one for a task; the shipped ones serve the other tasks (but see "
        "CXR_SHIPPED_MODELS)",
    )
    chosen = parser.parse_args()
    from cxr.desk.serve import serve

    try:
        serve(chosen.host, chosen.port, chosen.model)
    except CxrError as error:
        sys.exit(f"The desk does not start: {error}")


if __name__ == "__main__":
    main()
