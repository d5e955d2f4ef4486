"""Amazon SNS. There is no secret: Amazon signs with keys whose certificates it publishes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from cryptography.x509 import Certificate, Name, ObjectIdentifier, load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from platforms.base import Platform
from platforms.bodies import peek_json
from platforms.http import Request, Response, json_response
from platforms.summary import Value
from platforms.verifiers import CannotSign, Check, Credentials, Draft, Part, Proof, Refused
from platforms.verifiers.asymmetric import rsa_holds
from platforms.verifiers.public_keys import decode_base64
from platforms.verifiers.timestamps import check_age, read_time

_HOST = r"https://sns\.[a-z0-9-]{3,30}\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE = re.compile(_HOST + r"/SimpleNotificationService-[A-Za-z0-9]{1,64}\.pem", re.ASCII)
_CONFIRM = re.compile(_HOST + r"/\?[!-~]{1,4000}", re.ASCII)
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_ALGORITHM: dict[str, Literal["sha1", "sha256"]] = {"1": "sha1", "2": "sha256"}
# Names of the certificates, by region: as in Amazon's own library,
# https://github.com/aws/aws-sdk-java-v2 (services-custom/sns-message-manager, SnsHostProvider)
_ISSUED_TO = re.compile(
    r"sns(?:-signing\.|-|\.)?(?:[a-z0-9-]{3,30}\.)?amazonaws\.com(?:\.cn)?", re.ASCII
)


def is_topic(arn: str, pattern: str) -> bool:
    """Whether the ARN matches the pattern, in which `*` means any region or name."""
    return all(
        wanted in ("*", part) for part, wanted in zip_longest(arn.split(":"), pattern.split(":"))
    )


# https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
def check_certificate(certificate: Certificate, url: str, now: float) -> None:
    """Raises Refused unless the certificate is valid now, issued to Amazon SNS and, outside of
    China, by Amazon.

    The chain isn't verified: Amazon publishes only the certificate, and its own library doesn't
    verify the chain either. That the certificate is Amazon's follows from the connection to a host
    and path of Amazon SNS.
    """
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin.timestamp() <= now <= end.timestamp():
        raise Refused("the certificate is not valid now")
    names = _texts(certificate.subject, NameOID.COMMON_NAME)
    if not any(_ISSUED_TO.fullmatch(name) for name in names):
        raise Refused("the certificate is not one of Amazon SNS")
    is_china = url.partition("/Simple")[0].endswith(".cn")
    if not is_china and "Amazon" not in _texts(certificate.issuer, NameOID.ORGANIZATION_NAME):
        raise Refused("the certificate was not issued by Amazon")


def _texts(name: Name, kind: ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in name.get_attributes_for_oid(kind)]


def _read(body: bytes) -> dict[str, Any]:
    """A message in the form of signed ones. Raises Refused."""
    message = peek_json(body)
    if not isinstance(message, dict):
        raise Refused("not a message of Amazon SNS")
    is_known = (
        str(message.get("Type")) in _SIGNED and str(message.get("SignatureVersion")) in _ALGORITHM
    )
    url, signature = message.get("SigningCertURL"), message.get("Signature")
    if not is_known or not isinstance(url, str) or not isinstance(signature, str):
        raise Refused("not a signed message of Amazon SNS")
    if not _CERTIFICATE.fullmatch(url):
        raise Refused("the certificate is not at Amazon SNS")
    return message


def _signed(message: Mapping[str, Any]) -> bytes:
    """What is signed of a message: some of its fields, one per line. Raises Refused."""
    lines = []
    for name in _SIGNED[str(message["Type"])]:
        text = message.get(name)
        if name == "Subject" and text is None:
            continue
        if not isinstance(text, str):
            raise Refused("a signed field is missing")
        if name != "Message" and "\n" in text:
            # A message's lines could pass for the fields that follow it.
            raise Refused("a signed field has a line break")
        lines.append(f"{name}\n{text}\n")
    return "".join(lines).encode("utf-8", "surrogatepass")


def _check_topic(arn: str, request: Request, credentials: Credentials) -> None:
    """Raises Refused."""
    topics = credentials.topics
    if topics and not any(is_topic(arn, pattern) for pattern in topics):
        raise Refused("the message belongs to another topic")
    # The header isn't signed; compared with the body, it lets `headers:` pin a webhook to its
    # topic.
    topic = request.headers.get("x-amz-sns-topic-arn")
    if topic is not None and topic != arn:
        raise Refused("the header x-amz-sns-topic-arn is not the signed topic")


def _certificate_at(url: str, request: Request, credentials: Credentials) -> Certificate:
    """Raises ValueError if there is no certificate, Refused if it isn't one of Amazon SNS, or
    KeysUnavailable."""
    pem = credentials.fetch(url, remote=request.remote, read=load_pem_x509_certificate)
    certificate = load_pem_x509_certificate(pem)
    # A mirror's operator vouches for what it serves, as the README says.
    if not getattr(credentials.fetch, "is_mirror", False):
        check_certificate(certificate, url, request.now)
    return certificate


# https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html
@dataclass(frozen=True)
class CertifiedMessage:
    """An RSA signature over some fields of the body, one per line, with a certificate that the body
    names."""

    covers: ClassVar[frozenset[Part]] = frozenset({"fields", "time", "id"})

    def check(self, credentials: Credentials) -> Check:
        def check(request: Request) -> Proof:
            message = _read(request.body)
            signed = _signed(message)
            # Before the certificate is fetched, so that senders that don't know the topic cause no
            # fetch.
            _check_topic(message["TopicArn"], request, credentials)
            url, signature = message["SigningCertURL"], message["Signature"]
            algorithm = _ALGORITHM[str(message["SignatureVersion"])]
            timestamp, message_id = message["Timestamp"], message["MessageId"]
            # A fetch may take seconds, and a stranger's message may be many times as large once
            # parsed.
            del message
            decoded = decode_base64(signature.encode("utf-8", "replace"))
            try:
                certificate = _certificate_at(url, request, credentials)
                holds = decoded is not None and rsa_holds(certificate, decoded, signed, algorithm)
            except ValueError:
                holds = False
            if not holds:
                raise Refused("the signature does not match")
            check_age(read_time(timestamp, "rfc3339"), request.now, credentials.tolerance)
            return Proof(signed, body=False, id=message_id or None)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        raise CannotSign(
            "only Amazon SNS can sign for itself; publish a message to the topic instead"
        )


class AmazonSns(Platform):
    name = "aws-sns"
    title = "Amazon SNS"
    purpose = "alarms and messages of a topic: CloudWatch, S3, SES and others"
    decode = MappingProxyType({"$.Message": "json"})
    types = ("$.Type",)
    summary = (
        "$.Subject",
        Value("$.TopicArn", before="on ", without="arn:aws:sns:"),
        "$.Message",
        "$.Message.NewStateValue",
        "$.Message.Records[0].eventName",
        "$.Message.notificationType",
    )
    made_by = "nobody"
    verifier = CertifiedMessage()
    ignores_dedup = True
    required = frozenset()
    options = frozenset({"topic"})
    vendor_keys = True
    pinned_by = ("topic", "x-amz-sns-topic-arn")
    id_at = ("MessageId",)

    # https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.confirm.html
    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """Visits the URL that confirms the subscription."""
        if not isinstance(value, dict) or value.get("Type") != "SubscriptionConfirmation":
            return None
        url = value.get("SubscribeURL")
        if not isinstance(url, str) or not _CONFIRM.fullmatch(url):
            raise Refused("SubscribeURL is not at Amazon SNS")
        credentials.fetch(url, fresh=True)
        return json_response({"confirmed": True})


PLATFORM = AmazonSns()
