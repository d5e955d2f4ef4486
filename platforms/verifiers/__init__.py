"""Building blocks of which platforms are declared: pure, and each with one error, `Refused`, whatever is sent."""

from platforms.verifiers.asymmetric import EcdsaP256, Ed25519
from platforms.verifiers.compare import HeaderEquals
from platforms.verifiers.hmacs import Hmac, TimedHmac
from platforms.verifiers.refused import CannotSign, Refused
from platforms.verifiers.standard_webhooks import StandardWebhooks
from platforms.verifiers.terms import (
    OF_SENDER,
    Check,
    Draft,
    Fetch,
    KeysUnavailable,
    Part,
    Proof,
    Terms,
    Verifier,
    proof_of,
)
from platforms.verifiers.timestamps import Timestamp

__all__ = [
    "OF_SENDER",
    "CannotSign",
    "Check",
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
    "Terms",
    "TimedHmac",
    "Timestamp",
    "Verifier",
    "proof_of",
]
