"""Webhook definitions: what relay, worker and admin import of them.

The models are in `config.model` and the modules of its keys, the loader is in `config.loader`, the texts of
problems are in `config.problems`.
"""

from config.callbacks import Callback
from config.definitions import Definitions
from config.loader import load_definitions
from config.model import (
    DEFAULT_HOLD,
    Accept,
    Webhook,
    WebhooksFile,
)
from config.problems import DefinitionsError, Problem
from config.proof_keys import DEFAULT_TOLERANCE, Challenge, Dedup, Jwt, Mtls, Signature
from config.target_keys import Message, Respond, Start

__all__ = [
    "DEFAULT_HOLD",
    "DEFAULT_TOLERANCE",
    "Accept",
    "Callback",
    "Challenge",
    "Dedup",
    "Definitions",
    "DefinitionsError",
    "Jwt",
    "Message",
    "Mtls",
    "Problem",
    "Respond",
    "Signature",
    "Start",
    "Webhook",
    "WebhooksFile",
    "load_definitions",
]
