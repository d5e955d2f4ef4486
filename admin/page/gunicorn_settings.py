"""gunicorn's settings for the admin page: ``gunicorn --config admin/page/gunicorn_settings.py 'admin:create_app()'``.

It listens on loopback, at $ADMIN_PORT or 8090. Elsewhere (``--bind``, or GUNICORN_CMD_ARGS="--bind …") it only
starts with BRIDGE_ADMIN_TOKEN set.
"""

from __future__ import annotations

import os
from typing import Any

from gunicorn import glogging


class Logger(glogging.Logger):  # type: ignore[misc]
    """gunicorn's lines in the form of all the page's lines."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


bind = f"127.0.0.1:{os.environ.get('ADMIN_PORT') or 8090}"
worker_class = "gthread"
logger_class = Logger
# Settings that can't be used end the start, and logs have their form from the first line on.
preload_app = True
workers = 1
threads = 4
timeout = 60
graceful_timeout = 10
accesslog = None
control_socket_disable = True
# Whom to believe about addresses and hosts is BRIDGE_TRUSTED_PROXIES' to say.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}


def on_starting(server: Any) -> None:
    """Ends the start where the page would be open to others without a token."""
    from config.loopback import is_loopback
    from config.settings import SettingsError, load_settings

    try:
        settings = load_settings()
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    if settings.bridge_admin_token is not None:
        return
    for address in server.cfg.address:
        host = address[0] if isinstance(address, tuple) else None
        if not is_loopback(host):
            where = host if host is not None else address
            raise SystemExit(
                f"the admin page would listen on {where}, not on loopback: "
                "set BRIDGE_ADMIN_TOKEN to a long random text, or bind 127.0.0.1"
            )
