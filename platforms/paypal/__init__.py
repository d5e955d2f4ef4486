"""PayPal. The secret is the webhook's id, which PayPal signs; PayPal's key is in a certificate that
it publishes."""

import re
import zlib
from dataclasses import dataclass
from typing import ClassVar

from cryptography.x509 import Certificate, load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from platforms.base import Platform
from platforms.http import Request
from platforms.verifiers import CannotSign, Check, Credentials, Draft, Part, Proof, Refused
from platforms.verifiers.asymmetric import rsa_holds
from platforms.verifiers.compare import required_header
from platforms.verifiers.public_keys import decode_base64
from platforms.verifiers.timestamps import check_age, read_time

_CERTIFICATE = re.compile(
    r"https://api(?:-m)?(?:\.sandbox)?\.paypal\.com/v1/notifications/certs/CERT-[A-Za-z0-9-]{1,64}",
    re.ASCII,
)
_TRANSMISSION = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_ISSUED_TO = re.compile(r"(?:[a-z0-9-]{1,63}\.){1,4}paypal\.com", re.ASCII | re.IGNORECASE)


def check_certificate(certificate: Certificate, now: float) -> None:
    """Raises Refused unless the certificate is valid now and issued to PayPal.

    As with Amazon SNS, that it is PayPal's follows from the connection to PayPal's host.
    """
    if (
        not certificate.not_valid_before_utc.timestamp()
        <= now
        <= certificate.not_valid_after_utc.timestamp()
    ):
        raise Refused("the certificate is not valid now")
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not any(_ISSUED_TO.fullmatch(str(name.value)) for name in names):
        raise Refused("the certificate is not one of PayPal")


# https://developer.paypal.com/api/rest/webhooks/rest/#link-messagesignature
@dataclass(frozen=True)
class CertifiedTransmission:
    """An RSA signature over the transmission's id and time, the webhook's id and the CRC-32 of the
    body.

    Anyone can make another body with the same CRC-32, so the body doesn't count as covered.
    """

    header: str = "PayPal-Transmission-Sig"
    covers: ClassVar[frozenset[Part]] = frozenset({"id", "time"})

    def check(self, credentials: Credentials) -> Check:
        def check(request: Request) -> Proof:
            identifier, timestamp, signature, url, algorithm = (
                required_header(request, f"paypal-{name}")
                for name in (
                    "transmission-id",
                    "transmission-time",
                    "transmission-sig",
                    "cert-url",
                    "auth-algo",
                )
            )
            if not _CERTIFICATE.fullmatch(url):
                raise Refused("the certificate is not at PayPal")
            if algorithm != "SHA256withRSA" or not _TRANSMISSION.fullmatch(identifier):
                raise Refused("the signature has another form")
            at = read_time(timestamp, "rfc3339")
            decoded = decode_base64(signature.encode("latin-1", "replace"))
            checksum = zlib.crc32(request.body)
            try:
                pem = credentials.fetch(url, remote=request.remote, read=load_pem_x509_certificate)
                certificate = load_pem_x509_certificate(pem)
                # A mirror's operator vouches for what it serves.
                if not getattr(credentials.fetch, "is_mirror", False):
                    check_certificate(certificate, request.now)
                for webhook in credentials.secrets:
                    signed = f"{identifier}|{timestamp}|{webhook}|{checksum}".encode()
                    if decoded is not None and rsa_holds(certificate, decoded, signed, "sha256"):
                        check_age(at, request.now, credentials.tolerance)
                        return Proof(signed, body=False, id=identifier)
            except ValueError:
                raise Refused("what is at the certificate's URL is not a certificate") from None
            raise Refused("the signature does not match")

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        raise CannotSign(
            "only PayPal can sign for itself; use the Webhooks simulator of its developer dashboard"
            " instead"
        )


class PayPal(Platform):
    name = "paypal"
    title = "PayPal"
    purpose = "payments, refunds, subscriptions and disputes"
    types = ("$.event_type",)
    summary = ("$.summary",)
    secret_label = "Webhook ID"
    verifier = CertifiedTransmission()
    ignores_dedup = True
    vendor_keys = True
    # PayPal sends it again for three days, perhaps with the first time.
    tolerance = 4 * 24 * 3600
    id_at = ("id",)


PLATFORM = PayPal()
