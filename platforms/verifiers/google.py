"""Tokens that Google signs, for Pub/Sub and for Chat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509 import load_pem_x509_certificate

from platforms.http import Request
from platforms.verifiers.compare import bearer_token, equal
from platforms.verifiers.protocol import OF_SENDER, Check, Credentials, Draft, Fetch, Part, Proof
from platforms.verifiers.refused import CannotSign, Refused
from platforms.verifiers.tokens import check_claims, check_signature, read_object, read_token

_OF_ACCOUNTS = "https://www.googleapis.com/oauth2/v1/certs"
_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
_CHAT = "chat@system.gserviceaccount.com"
_OF_CHAT = f"https://www.googleapis.com/service_accounts/v1/metadata/x509/{_CHAT}"


def _keys(
    fetch: Fetch, url: str, key_id: str | None, remote: str | None
) -> Iterator[CertificatePublicKeyTypes]:
    """The key of Google's certificate with that id; Google rotates them. Raises KeysUnavailable."""
    for fresh in (False, True):
        certificates = _certificates_in(
            fetch(url, fresh=fresh, remote=remote, read=_certificates_in)
        )
        pem = certificates.get(key_id or "")
        if isinstance(pem, str):
            with suppress(ValueError, UnsupportedAlgorithm):
                yield load_pem_x509_certificate(pem.encode()).public_key()
            return


def _certificates_in(content: bytes) -> dict[str, Any]:
    """Key id → certificate. Raises ValueError for anything else."""
    return read_object(content, "these are not Google's certificates")


def _check(
    request: Request, credentials: Credentials, url: str, issuers: frozenset[str], email: str | None
) -> None:
    """Raises Refused unless the token is for our audience and, with an e-mail, of that service
    account."""
    token = read_token(bearer_token(request), ["RS256"])
    check_claims(token, issuers=issuers, audiences=[credentials.audience or ""], now=request.now)
    check_signature(token, _keys(credentials.fetch, url, token.key_id, request.remote))
    if email is None:
        return
    given = token.claims.get("email")
    if not isinstance(given, str) or not equal(given, email):
        raise Refused("the token belongs to another service account")
    if token.claims.get("email_verified") is not True:
        raise Refused("the token's e-mail is not verified")


# https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions#validate_tokens
@dataclass(frozen=True)
class ServiceAccountToken:
    """A token of the definition's service account, issued for our audience."""

    instead: str
    """What to do instead of letting the bridge sign."""
    covers: ClassVar[frozenset[Part]] = frozenset({"sender"})

    def check(self, credentials: Credentials) -> Check:
        def check(request: Request) -> Proof:
            _check(request, credentials, _OF_ACCOUNTS, _ISSUERS, credentials.service_account or "")
            return OF_SENDER

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        raise CannotSign(f"only Google can sign for its service accounts; {self.instead}")


# https://developers.google.com/workspace/chat/verify-requests-from-chat
@dataclass(frozen=True)
class ChatToken:
    """A token of Google Chat. If the audience is a project's number, Chat signs it itself; if it is
    a URL, Google signs for the app's service account or, where the definition names none, for the
    one that Chat has for older apps."""

    covers: ClassVar[frozenset[Part]] = frozenset({"sender"})

    def check(self, credentials: Credentials) -> Check:
        by_chat = (credentials.audience or "").isdecimal()

        def check(request: Request) -> Proof:
            if by_chat:
                _check(request, credentials, _OF_CHAT, frozenset({_CHAT}), None)
            else:
                _check(
                    request,
                    credentials,
                    _OF_ACCOUNTS,
                    _ISSUERS,
                    credentials.service_account or _CHAT,
                )
            return OF_SENDER

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        raise CannotSign("only Google can sign for Chat; write a message to the app instead")
