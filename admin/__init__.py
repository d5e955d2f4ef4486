"""What people look at and act with: the command line, the page and its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def create_app() -> Flask:
    """The page and its API for a WSGI server, with the environment's settings. (``python -m admin`` has its own.)

    Raises SettingsError.
    """
    from admin.page.app import create_app as create  # the command line has no need of a web framework
    from config.settings import load_settings

    return create(load_settings())
