"""Conductor, as the command line and the page ask it: for its workflows, and to run one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from config.settings import Settings
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError
from worker.conductor.server import Server

_TIMEOUT = 3.0
"""Seconds that a page waits for the list of workflows."""


def connect(settings: Settings, timeout: float) -> Conductor:
    """The Conductor that the settings name; each call takes at most so many seconds."""
    return Conductor(Server.of(settings), timeout)


@dataclass(frozen=True)
class Catalogue:
    """The workflows that are registered in Conductor."""

    versions: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Workflow → versions in ascending order."""
    failure: str = ""
    """Why they can't be listed now; empty if they can."""


def catalogue_of(conductor: Conductor) -> Catalogue:
    """The workflows that Conductor has now."""
    try:
        return Catalogue(conductor.within(_TIMEOUT).workflow_versions())
    except ConductorError as error:
        return Catalogue(failure=str(error))
