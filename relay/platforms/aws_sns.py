"""Amazon SNS. Nothing is secret: Amazon signs with keys whose certificates it publishes."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from events.payload import read_body
from relay.platform import Platform, in_body
from relay.request import Answer, Request, json_answer
from relay.verifiers import CannotSign, Check, Draft, Part, Proof, Refused, Terms
from relay.verifiers.asymmetric import rsa_holds
from relay.verifiers.public_keys import decode_base64
from relay.verifiers.timestamps import check_age, read_time

_HOST = r"https://sns\.[a-z0-9-]{3,30}\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE = re.compile(_HOST + r"/SimpleNotificationService-[A-Za-z0-9]{1,64}\.pem", re.ASCII)
_CONFIRM = re.compile(_HOST + r"/\?[!-~]{1,4000}", re.ASCII)
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_ALGORITHM = {"1": "sha1", "2": "sha256"}


# https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html
@dataclass(frozen=True)
class CertifiedMessage:
    """An RSA signature over some fields of the body, a line each, with a certificate that the body names."""

    covers: ClassVar[frozenset[Part]] = frozenset({"fields", "time", "id"})

    def check(self, terms: Terms) -> Check:
        def check(request: Request) -> Proof:
            message = read_body(request.body, None, always_json=True).value
            if not isinstance(message, dict):
                raise Refused("not a message of Amazon SNS")
            names = _SIGNED.get(str(message.get("Type")))
            algorithm = _ALGORITHM.get(str(message.get("SignatureVersion")))
            url, signature = message.get("SigningCertURL"), message.get("Signature")
            if names is None or algorithm is None or not isinstance(url, str) or not isinstance(signature, str):
                raise Refused("not a signed message of Amazon SNS")
            if not _CERTIFICATE.fullmatch(url):
                raise Refused("the certificate is not at Amazon SNS")
            lines = []
            for name in names:
                text = message.get(name)
                if isinstance(text, str):
                    if name != "Message" and "\n" in text:
                        # The lines of a message could pass for the fields that follow it.
                        raise Refused("a signed field has a line break")
                    lines.append(f"{name}\n{text}\n")
                elif name != "Subject" or text is not None:
                    raise Refused("a signed field is missing")
            signed = "".join(lines).encode("utf-8", "surrogatepass")
            decoded = decode_base64(signature.encode("utf-8", "replace"))
            try:
                proven = decoded is not None and rsa_holds(
                    terms.fetch(url), decoded, signed, "sha1" if algorithm == "sha1" else "sha256"
                )
            except ValueError:
                proven = False
            if not proven:
                raise Refused("the signature does not match")
            # The header is not signed; held to the body, `headers:` can pin a webhook to its topic by it.
            topic = request.headers.get("x-amz-sns-topic-arn")
            if topic is not None and topic != message["TopicArn"]:
                raise Refused("the header x-amz-sns-topic-arn is not the signed topic")
            check_age(read_time(message["Timestamp"], "rfc3339"), request.now, terms.tolerance)
            return Proof(signed, id=message["MessageId"] or None)

        return check

    def sign(self, draft: Draft, terms: Terms) -> Draft:
        raise CannotSign("only Amazon SNS can sign for itself; publish a message to the topic instead")


# https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.confirm.html
def confirm_subscription(value: Any, terms: Terms) -> Answer | None:
    """Visits the URL that confirms the subscription."""
    if not isinstance(value, dict) or value.get("Type") != "SubscriptionConfirmation":
        return None
    url = value.get("SubscribeURL")
    if not isinstance(url, str) or not _CONFIRM.fullmatch(url):
        raise Refused("SubscribeURL is not at Amazon SNS")
    terms.fetch(url, fresh=True)
    return json_answer({"confirmed": True})


PLATFORM = Platform(
    name="aws-sns",
    verifier=CertifiedMessage(),
    required=frozenset(),
    vendor_keys=True,
    signed_challenge=confirm_subscription,
    delivery_id=in_body("MessageId"),
)
