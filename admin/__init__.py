"""What people use: the command line, the admin page and its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def create_app() -> Flask:
    """The page and its API for a WSGI server, with settings from the environment.

    Raises SettingsError.
    """
    from admin.page.app import create_app as create  # the command line needs no web framework
    from config.settings import load_settings

    return create(load_settings())
