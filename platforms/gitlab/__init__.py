"""GitLab: the secret token, or the signing token (``whsec_…``) of newer versions."""

from dataclasses import dataclass, replace
from typing import ClassVar

from platforms.base import MB, Platform
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers import (
    Check,
    Credentials,
    Draft,
    HeaderEquals,
    Part,
    Proof,
    Refused,
    StandardWebhooks,
)
from platforms.verifiers.standard_webhooks import SECRET_KEY

_TOKEN = HeaderEquals("X-Gitlab-Token")
_SIGNATURE = StandardWebhooks(prefixes=("webhook",))


@dataclass(frozen=True)
class TokenOrSignature:
    """A signing token signs as Standard Webhooks do; any other secret is sent as it is."""

    covers: ClassVar[frozenset[Part]] = frozenset({"sender", "id", "time", "body"})

    def check(self, credentials: Credentials) -> Check:
        signing = tuple(secret for secret in credentials.secrets if secret.startswith(SECRET_KEY))
        tokens = tuple(secret for secret in credentials.secrets if secret not in signing)
        check_token = _TOKEN.check(replace(credentials, secrets=tokens))
        check_signature = _SIGNATURE.check(replace(credentials, secrets=signing))

        def check(request: Request) -> Proof:
            if not signing:
                return check_token(request)
            try:
                return check_signature(request)
            except Refused:
                if not tokens:
                    raise
            return check_token(request)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        signing = bool(credentials.secrets) and credentials.secrets[0].startswith(SECRET_KEY)
        return (_SIGNATURE if signing else _TOKEN).sign(draft, credentials)


# https://docs.gitlab.com/user/project/integrations/webhooks/#validate-payloads-by-using-a-secret-token
class GitLab(Platform):
    name = "gitlab"
    title = "GitLab"
    purpose = "pushes, merge requests and pipelines"
    types = ("$.object_kind", "$.event_name")
    summary = (
        "$.object_attributes.action",
        "$.project.path_with_namespace",
        Value("$.ref", without="refs/heads/"),
        Value("$.object_attributes.iid", before="!"),
        "$.object_attributes.title",
        "$.object_attributes.ref",
        "$.object_attributes.status",
        "$.build_name",
        "$.build_status",
        "$.tag",
    )
    made_by = "us"
    secret_label = "Secret token"
    verifier = TokenOrSignature()
    tolerance = 300
    # https://gitlab.com/gitlab-org/gitlab/-/merge_requests/38687
    max_body = 25 * MB
    secret_headers = frozenset({"x-gitlab-token"})
    id_headers = ("idempotency-key", "webhook-id")


PLATFORM = GitLab()
