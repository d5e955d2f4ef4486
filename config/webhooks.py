"""Webhook definitions: what relay, worker and admin import of them, besides the keys of
`config.model`."""

from config.definitions import Definitions
from config.loader import load_definitions
from config.model import Webhook
from config.problems import DefinitionsError, Problem

__all__ = ["Definitions", "DefinitionsError", "Problem", "Webhook", "load_definitions"]
