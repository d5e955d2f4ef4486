"""``python -m admin``: the process that serves the page and its API."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import structlog
from flask import Flask
from waitress.server import create_server

from admin.page.app import BODY, create_app
from config.logs import configure_logging
from config.process import allow_open_files
from config.settings import Settings, SettingsError, load_settings, port_of
from config.urls import is_loopback

USAGE = """usage: python -m admin

Serves the admin page and its API on ADMIN_HOST (127.0.0.1) and ADMIN_PORT (8090). To listen on anything but loopback it
needs BRIDGE_ADMIN_TOKEN. Stop it with SIGTERM or Ctrl-C. Settings come from the environment and .env; README.md lists
them all."""
_THREADS = 32
"""Requests that are answered at a time."""
_OTHER_FILES = 200
"""Open files that are reserved for everything but connections: the store, and long answers."""
_SILENT = 30
"""Seconds without a byte after which a connection without a complete request is closed."""


def main() -> int:
    """Serves until a signal; the exit code is 0 after a clean stop, 1 if it can't start, 2 for bad
    usage."""
    if len(sys.argv) > 1:
        wanted = sys.argv[1] in ("-h", "--help")
        print(USAGE, file=sys.stdout if wanted else sys.stderr)
        return 0 if wanted else 2
    try:
        settings = load_settings()
        host, port = _address(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    configure_logging(settings.bridge_log_format, "admin")
    application = create_app(settings)
    application.extensions[
        "bridge"
    ].definitions()  # so that the first request doesn't wait for them
    try:
        server = make_server(application, host, port)
    except (OSError, ValueError) as error:
        print(f"the admin page can't listen on {host} port {port}: {error}", file=sys.stderr)
        return 1
    log = structlog.get_logger()

    def stop(_signal: int, _frame: object) -> None:
        sys.exit()  # waitress catches it, and finishes the requests under way

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    # It reloads the definitions elsewhere; the page checks them on each request.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log.info("the admin page listens", address=f"{f'[{host}]' if ':' in host else host}:{port}")
    server.run()
    log.info("the admin page stopped")
    return 0


def make_server(application: Flask, host: str, port: int) -> Any:
    """Listens right away. Raises OSError or ValueError.

    An incomplete request, and an answer that nobody reads, hold a connection but no thread.
    """
    files = allow_open_files()
    return create_server(
        application,
        host=host,
        port=port,
        threads=_THREADS,
        connection_limit=min(2000, max(files - _OTHER_FILES, files // 2)),
        channel_timeout=_SILENT,
        cleanup_interval=_SILENT // 6,
        outbuf_high_watermark=2**62,  # all of an answer is buffered, on disk if it is large
        max_request_header_size=32 * 1024,
        max_request_body_size=BODY,
        asyncore_use_poll=True,
        # BRIDGE_TRUSTED_PROXIES decides whose headers are believed, so the page needs to see them
        # all.
        clear_untrusted_proxy_headers=False,
        server_name=host,
        ident=None,
    )


def _address(settings: Settings) -> tuple[str, int]:
    """Where to listen. Raises SettingsError for an invalid port, and if others could see the page
    without a token."""
    host = os.environ.get("ADMIN_HOST") or "127.0.0.1"
    port = port_of(os.environ, "ADMIN_PORT", 8090)
    if settings.bridge_admin_token is None and not is_loopback(host):
        raise SettingsError(
            f"the admin page would listen on {host}, not on loopback: "
            "set BRIDGE_ADMIN_TOKEN to a long random string, or ADMIN_HOST to 127.0.0.1"
        )
    return host, port


if __name__ == "__main__":
    sys.exit(main())
