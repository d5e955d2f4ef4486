"""What people look at and act with: the command line, the page and its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def create_app() -> Flask:
    """The page and its API, for ``gunicorn 'admin:create_app()'``."""
    from admin.page.app import create_app as create  # the command line has no need of a web framework

    return create()
