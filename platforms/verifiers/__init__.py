"""Building blocks for declaring platforms: pure, with a single error, `Refused`, whatever is sent."""

from platforms.verifiers.asymmetric import EcdsaP256, Ed25519
from platforms.verifiers.compare import Basic, Bearer, HeaderEquals
from platforms.verifiers.hmacs import Hmac, TimedHmac
from platforms.verifiers.protocol import (
    OF_SENDER,
    Check,
    Credentials,
    Draft,
    Fetch,
    KeysUnavailable,
    Part,
    Proof,
    Verifier,
    proof_of,
)
from platforms.verifiers.refused import CannotSign, Refused
from platforms.verifiers.standard_webhooks import StandardWebhooks
from platforms.verifiers.timestamps import TimeInBody, Timestamp

__all__ = [
    "OF_SENDER",
    "Basic",
    "Bearer",
    "CannotSign",
    "Check",
    "Credentials",
    "Draft",
    "EcdsaP256",
    "Ed25519",
    "Fetch",
    "HeaderEquals",
    "Hmac",
    "KeysUnavailable",
    "Part",
    "Proof",
    "Refused",
    "StandardWebhooks",
    "TimeInBody",
    "TimedHmac",
    "Timestamp",
    "Verifier",
    "proof_of",
]
