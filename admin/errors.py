"""What the page, the API and the command line can't do for somebody."""

from __future__ import annotations


class CantDo(Exception):
    """What was asked for can't be done; the text says why, to whoever asked."""

    status = 409
    """The API's and the page's HTTP status."""


class BadRequest(CantDo):
    """What was asked for can't be understood, or isn't possible as it was asked; the text says
    why."""

    status = 400


class NotFound(CantDo):
    """There is no such event, task or webhook; the text says which."""

    status = 404
