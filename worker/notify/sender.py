"""Sends messages with Apprise."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from config.settings import SettingsError


class Apprise:
    """Sends to the services in a list of Apprise URLs, separated by spaces."""

    def __init__(self, urls: str):
        """Raises SettingsError if the extra isn't installed, or Apprise doesn't know a URL."""
        try:
            self._apprise: Any = import_module("apprise")
        except ImportError:
            raise SettingsError(
                "BRIDGE_NOTIFY: Apprise isn't installed; pip install '.[notify]' in a checkout, or 'WHEEL[notify]'"
            ) from None
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would log URLs with their secrets
        self._services = self._apprise.Apprise()
        for number, url in enumerate(urls.split() or [""], 1):
            if not self._services.add(url):
                raise SettingsError(
                    f"BRIDGE_NOTIFY: Apprise doesn't know URL number {number}; write one such as slack://TOKEN, "
                    "mailto://USER:PASSWORD@HOST or json://HOST/PATH (https://github.com/caronc/apprise/wiki)"
                )

    def send(self, title: str, body: str, resolved: bool) -> list[bool]:
        """Sends the message; returns for each URL whether that succeeded. Never raises."""
        kind = self._apprise.NotifyType.SUCCESS if resolved else self._apprise.NotifyType.WARNING
        sent: list[bool] = []
        for service in self._services:
            try:
                sent.append(bool(service.notify(title=f"Webhook bridge: {title}", body=body, notify_type=kind)))
            except Exception:  # raised by one of a hundred services
                sent.append(False)
        return sent
