"""``python -m admin``: the process that serves the page and its API."""

from __future__ import annotations

import os
import signal
import sys

import structlog

from admin.page.app import BODY, create_app
from admin.page.server import PageServer
from config.logs import configure_logging
from config.loopback import is_loopback
from config.settings import Settings, SettingsError, load_settings

USAGE = """usage: python -m admin

Serves the admin page and its API on ADMIN_HOST (127.0.0.1) and ADMIN_PORT (8090). To listen on anything but loopback it
needs BRIDGE_ADMIN_TOKEN. Stop it with SIGTERM or Ctrl-C. Settings come from the environment and .env; README.md lists
them all."""


def main() -> int:
    """Serves until a signal; the exit code is 0 after a clean stop, 1 if it can't start, 2 for bad usage."""
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
    application.extensions["bridge"].definitions()  # so that the first request doesn't wait for them
    try:
        server = PageServer(application, host, port, BODY, application.extensions["feed"])
    except (OSError, ValueError) as error:
        print(f"the admin page can't listen on {host} port {port}: {error}", file=sys.stderr)
        return 1
    log = structlog.get_logger()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: server.stop())
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # it reloads the definitions elsewhere; the page checks them on each request
    log.info("the admin page listens", address=f"{f'[{host}]' if ':' in host else host}:{port}")
    server.run()
    log.info("the admin page stopped")
    return 0


def _address(settings: Settings) -> tuple[str, int]:
    """Where to listen. Raises SettingsError for an invalid port, and if others could see the page without a token."""
    host = os.environ.get("ADMIN_HOST") or "127.0.0.1"
    text = os.environ.get("ADMIN_PORT") or "8090"
    if not text.isdecimal() or not 0 < int(text[:6]) < 65536:
        raise SettingsError(f"ADMIN_PORT: {text[:20]!r} is not a port; write a number from 1 to 65535")
    if settings.bridge_admin_token is None and not is_loopback(host):
        raise SettingsError(
            f"the admin page would listen on {host}, not on loopback: "
            "set BRIDGE_ADMIN_TOKEN to a long random string, or ADMIN_HOST to 127.0.0.1"
        )
    return host, int(text)


if __name__ == "__main__":
    sys.exit(main())
