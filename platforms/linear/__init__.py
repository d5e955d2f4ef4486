"""Linear: the signed time is inside the body."""

import json
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from platforms.base import Platform, at, digest
from platforms.bodies import read_body
from platforms.http import Request
from platforms.verifiers import Check, Credentials, Draft, Hmac, Part, Proof
from platforms.verifiers.timestamps import check_age, read_time, write_time

_SIGNATURE = Hmac(header="Linear-Signature")
TIME = "webhookTimestamp"
_TIME = re.compile(rb'("webhookTimestamp"\s*:\s*)[0-9]+')


@dataclass(frozen=True)
class SignatureAndBodyTime:
    """The signature of the body, and ``webhookTimestamp`` in it, in milliseconds."""

    header: str = _SIGNATURE.header

    covers: ClassVar[frozenset[Part]] = frozenset({"time", "body"})

    def check(self, credentials: Credentials) -> Check:
        check_signature = _SIGNATURE.check(credentials)

        def check(request: Request) -> Proof:
            proof = check_signature(request)
            value = read_body(request.body, None, always_json=True).value
            check_age(read_time(at(value, TIME) or "", "ms"), request.now, credentials.tolerance)
            return proof

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        """With the current time in the body, if that is a JSON object."""
        now = write_time(draft.now, "ms").encode()
        body, found = _TIME.subn(rb"\g<1>" + now, draft.body)
        if not found:
            rest = body.strip()[1:].lstrip()
            added = b'{"%b": %b%b%b' % (TIME.encode(), now, b"" if rest == b"}" else b", ", rest)
            body = added if body.lstrip().startswith(b"{") else body
        return _SIGNATURE.sign(Draft(draft.method, draft.url, draft.headers, body, draft.now), credentials)


# https://linear.app/developers/webhooks#securing-webhooks
class Linear(Platform):
    name = "linear"
    title = "Linear"
    purpose = "issues, comments and projects"
    types = ("$.type",)
    summary = ("$.action", "$.data.identifier", "$.data.title", "$.data.name", "$.data.issue.identifier")
    secret_label = "Signing secret"
    # https://linear.app/developers/webhooks
    answer_within = 5
    verifier = SignatureAndBodyTime()
    tolerance = 60
    id_headers = ("linear-delivery",)

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """Each attempt is signed with its own time; `createdAt` is the time of the event."""
        if at(value, "createdAt") is None:
            return None
        return digest(json.dumps({name: item for name, item in value.items() if name != TIME}, sort_keys=True))


PLATFORM = Linear()
