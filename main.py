"""Opens the desk: `python main.py` on this machine, `gunicorn main:app` for many."""

import argparse
import os
import sys
from typing import Any

from cxr.errors import CxrError, SettingError
from cxr.settings import Settings

GUNICORN_GIVES_UP = 4  # gunicorn's APP_LOAD_ERROR: with another status it would start the worker again and again


def __getattr__(name: str) -> Any:
    """`app`, made when gunicorn asks for it and not by importing this module."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cxr.desk.app import create_app

    try:
        return create_app()
    except CxrError as error:
        print(f"The desk does not start: {error}", file=sys.stderr, flush=True)
        raise SystemExit(GUNICORN_GIVES_UP) from None


def main() -> None:
    parser = argparse.ArgumentParser(description="Open the chest film desk in this machine's browser.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; others need CXR_SECRET_KEY")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0: any free one")
    parser.add_argument("--model", metavar="FILE", help="exported model file to read with")
    chosen = parser.parse_args()
    try:
        serve(chosen.host, chosen.port, chosen.model)
    except CxrError as error:
        sys.exit(f"The desk does not start: {error}")


def serve(host: str, port: int, model: str | None) -> None:
    import waitress

    from cxr.desk.app import create_app
    from cxr.desk.door import LOOPBACK

    local = host in LOOPBACK
    given = {"CXR_MODEL": model} if model else {}
    settings = Settings.from_environment({"CXR_HEATMAP_FILES": str(int(local)), **os.environ, **given})
    app = create_app(settings, local=local)
    try:
        most = 2 * settings.max_request_bytes  # the desk itself answers what is beyond its limit, with a page
        server = waitress.create_server(app, host=host, port=port, threads=8, max_request_body_size=most)
    except (OSError, OverflowError) as error:
        raise SettingError(f"port {port} of {host} cannot be opened ({error}); choose another with --port.") from error
    print(f"The desk is open at http://{host}:{server.effective_port}  (Ctrl+C closes it)", flush=True)
    server.run()


if __name__ == "__main__":
    main()
