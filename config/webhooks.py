"""Webhook definitions: what relay, worker and admin import of them.

The model is in `config.model`, the loader in `config.loader`, the texts of problems in `config.problems`.
"""

from config.loader import Definitions, load_definitions
from config.model import (
    DEFAULT_HOLD,
    DEFAULT_MAX_BODY,
    DEFAULT_TOLERANCE,
    Accept,
    Dedup,
    Respond,
    Signature,
    Start,
    Webhook,
    WebhooksFile,
)
from config.problems import DefinitionsError, Problem

__all__ = [
    "DEFAULT_HOLD",
    "DEFAULT_MAX_BODY",
    "DEFAULT_TOLERANCE",
    "Accept",
    "Dedup",
    "Definitions",
    "DefinitionsError",
    "Problem",
    "Respond",
    "Signature",
    "Start",
    "Webhook",
    "WebhooksFile",
    "load_definitions",
]
