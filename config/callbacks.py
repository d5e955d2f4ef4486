"""The key `callback`: URLs that complete one task each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from config.quantities import Duration, format_duration
from config.value_types import Name, Secrets, StrictModel, from_list

DEFAULT_EXPIRES = 7 * 86_400.0
"""Seconds for which a URL can be used, unless the definition or whoever asks for it says
otherwise."""
LONGEST_EXPIRES = 366 * 86_400.0
"""Seconds for which a URL can be used at most: its secret has to be kept for as long."""
_OTHER_PROOFS = (
    "secret",
    "verify_token",
    "headers",
    "signature",
    "jwt",
    "mtls",
    "challenge",
    "verifier",
    "audience",
    "topic",
    "service_account",
)
_NOT_FOR_ONE_TASK = {
    "starts": (
        "a callback completes one task and starts nothing; give the starts a webhook of their own"
    ),
    "messages": (
        "a callback completes one task and sends no messages; give them a webhook of their own"
    ),
    "dedup": "each URL is used once, so there is no delivery id; remove it",
    "split": "a URL names one task, so its body is one event; remove it",
    "listen": (
        "its deliveries can't be replayed elsewhere, as they need their URL, which is never kept;"
        " remove it"
    ),
    "keep_rejected": "a rejected delivery needs its URL, which is never kept; remove it",
}


def check_expires(seconds: float) -> float:
    """The seconds, if a URL can be given them. Raises ValueError."""
    if not 1 <= seconds <= LONGEST_EXPIRES:
        longest = format_duration(LONGEST_EXPIRES)
        raise ValueError(f"not between 1s and {longest}; write a duration such as 2h or 7d")
    return seconds


class Callback(StrictModel):
    """Makes the webhook's URLs name one task each, which the body completes."""

    secret: Secrets | None = Field(
        default=None,
        description="signs the URLs; a list while it is being rotated, whose first signs new ones",
        examples=["${APPROVALS_SECRET}"],
    )
    expires: Annotated[Duration, AfterValidator(check_expires)] = Field(
        default=DEFAULT_EXPIRES,
        description="how long a new URL can be used, unless whoever asks for it says otherwise",
        examples=["7d"],
    )
    by: Literal["id"] | None = Field(
        default=None,
        description=(
            "id: the URL has the workflow's id instead of a token; nothing is signed then, and none"
            " expires"
        ),
    )
    tasks: Annotated[tuple[Name, ...], BeforeValidator(from_list)] = Field(
        default=(),
        description="reference names of the tasks that may be completed; all by default",
        examples=[["approve"]],
    )
    query: Annotated[tuple[Name, ...], BeforeValidator(from_list)] = Field(
        default=(),
        description=(
            "query parameters of a link that become part of the output; all others are dropped"
        ),
        examples=[["decision"]],
    )

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        if "by" in written and "secret" in written:
            yield (
                "by",
                "a secret and `by: id`: either the URLs are signed or they aren't; remove one",
            )
        elif "by" not in written and "secret" not in written:
            yield (
                None,
                (
                    "nothing that makes its URLs; add secret: ${NAME}, or by: id if the workflows'"
                    " ids are secret"
                ),
            )
        if "by" in written and written.get("query"):
            yield (
                "query",
                (
                    "anyone who knows a workflow's id could have people confirm what they never"
                    " see; remove it, or use a secret instead of by: id"
                ),
            )
        if "by" in written and "expires" in written:
            yield (
                "expires",
                (
                    "URLs with the workflow's id don't expire; remove it, or use a secret instead"
                    " of by: id"
                ),
            )


def faults_beside(webhook: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a webhook with `callback`, as written, can't have besides: the key, and the message."""
    for key in _OTHER_PROOFS:
        if key in webhook:
            yield (
                key,
                (
                    "the URLs of a webhook with `callback` prove who calls them; remove it, or"
                    " remove callback"
                ),
            )
    for key, message in _NOT_FOR_ONE_TASK.items():
        if webhook.get(key) not in (None, False):
            yield key, message
    respond = webhook.get("respond")
    if isinstance(respond, Mapping) and "wait" in respond:
        yield (
            "respond",
            (
                "`wait` beside `callback`: its URLs are answered at once, and each only once;"
                " remove wait"
            ),
        )
    if webhook.get("platform", "custom") != "custom":
        yield (
            "platform",
            "a platform posts to one URL, not to one for each task; remove it, or remove callback",
        )
    if not webhook.get("receivers"):
        yield (
            "receivers",
            "no `receivers`: it may complete no workflow's tasks; add receivers: {WORKFLOW: any}",
        )
