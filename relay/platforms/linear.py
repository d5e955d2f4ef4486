"""Linear: the signed time is in the body."""

import re
from dataclasses import dataclass

from events.payload import read_body
from relay.platform import Platform, in_header
from relay.request import Request
from relay.verifiers import Check, Draft, Hmac, Terms
from relay.verifiers.timestamps import check_age, write_time

_SIGNATURE = Hmac(header="Linear-Signature")
_TIME = re.compile(rb'("webhookTimestamp"\s*:\s*)[0-9]+')


@dataclass(frozen=True)
class SignatureAndBodyTime:
    """The signature of the body, and ``webhookTimestamp`` in it, in milliseconds."""

    header: str = _SIGNATURE.header

    def check(self, terms: Terms) -> Check:
        check_signature = _SIGNATURE.check(terms)

        def check(request: Request) -> None:
            check_signature(request)
            value = read_body(request.body, request.headers.get("content-type")).value
            at = value.get("webhookTimestamp") if isinstance(value, dict) else None
            if isinstance(at, (int, float)):
                check_age(at / 1000 if abs(at) < 1e18 else 1e15, request.now, terms.tolerance)

        return check

    def sign(self, draft: Draft, terms: Terms) -> Draft:
        """With the time of now, if the body has a time."""
        body = _TIME.sub(rb"\g<1>" + write_time(draft.now, "ms").encode(), draft.body)
        return _SIGNATURE.sign(Draft(draft.method, draft.url, draft.headers, body, draft.now), terms)


# https://linear.app/developers/webhooks#securing-webhooks
PLATFORM = Platform(
    name="linear",
    verifier=SignatureAndBodyTime(),
    tolerance=60,
    delivery_id=in_header("Linear-Delivery"),
)
