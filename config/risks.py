"""Risks in a definition without errors: warnings, which never show a secret's value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from config.problems import ProblemAt
from config.quantities import parse_duration
from config.references import UNRESOLVED
from config.yaml_lines import Where
from criteria.missing import why_nothing

if TYPE_CHECKING:  # the worker reads definitions without loading the platforms
    from platforms.base import Platform

_SHORT_SECRET = 12
"""Characters; a shorter secret can be found by brute force."""
_FEW_CHARACTERS = 5
"""Distinct characters; a text with fewer isn't random."""
_PLACEHOLDER = re.compile(
    r"""\$\w+ | \$\([^)]*\) | %\w+%              # $NAME and $(NAME), which nothing has replaced; %NAME%
      | \{\{.*\}\} | \{%.*%\} | <[^<>]*>         # templates; <your secret>
      | \.{3,} | …
      | (?:your|my|the)[-_ ].*(?:secret|token|key|password|here|value).*
      | .*(?:change[-_ ]?me|replace[-_ ]?me|insert[-_ ]here|placeholder).*
      | (?:dummy|example|sample|todo|fixme|test|secret|token|password|passwd|admin|default|qwerty)[-_ ]?\d*
      | x{4,} | \*{3,} | -+ | (?:0?123456\d*)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_QUOTED = re.compile(r"""(["'`]).*\1|[“”„«‘’‚‹].*[“”»‘’›]""", re.DOTALL)
_PEM = "-----BEGIN "
"""How a key begins whose text ends with a line break."""
_SCHEME = re.compile(r"(?:Bearer|Basic|Token|ApiKey)\s+", re.IGNORECASE)


def find_risks(
    webhook: Mapping[str, Any], platforms: Mapping[str, Platform]
) -> Iterator[ProblemAt]:
    """The warnings about a webhook as written, with its references resolved."""
    if webhook.get("verifier") == "none":
        yield ProblemAt(
            ("verifier",),
            "deliveries are not verified: anyone who knows the URL can post",
            "prefer a secret, or restrict the senders with allow_ips",
        )
    if webhook.get("listen") is True:
        yield ProblemAt(
            ("listen",),
            "its newest 200 deliveries are kept as they came, signatures too, for an hour and up to 32 MB; whoever has "
            "BRIDGE_ADMIN_TOKEN can read them, and what `hide` names is in them",
            "remove it once nobody listens",
        )
    callback = webhook.get("callback")
    if isinstance(callback, dict) and callback.get("by") == "id":
        tasks = "those tasks" if callback.get("tasks") else "any of its waiting tasks"
        narrower = (
            ""
            if callback.get("tasks")
            else ", or name the tasks that may be completed: tasks: [NAME]"
        )
        yield ProblemAt(
            ("callback", "by"),
            f"nothing signs its URLs: anyone who learns a workflow's id can complete {tasks}, and "
            "anyone can make the bridge ask Conductor for ids that don't exist",
            f"prefer callback: {{secret: ${{NAME}}}}{narrower}",
        )
    yield from _waits(webhook, platforms)
    yield from _tokens(webhook)
    yield from _secrets(webhook, platforms)
    yield from _headers(webhook)
    for place, text in _texts(
        {key: webhook.get(key) for key in ("only", "starts", "messages", "hide")}, ()
    ):
        if (nothing := why_nothing(text)) is not None:
            yield ProblemAt(place, *nothing)
    signature = webhook.get("signature")
    scheme = signature if isinstance(signature, dict) else {}
    timed_by = "timestamp_header" if "timestamp_header" in scheme else "format"
    is_timed = "{timestamp}" in str(scheme.get("signed", ""))
    if (
        timed_by == "timestamp_header" or "{timestamp}" in str(scheme.get("format", ""))
    ) and not is_timed:
        yield ProblemAt(
            ("signature", timed_by),
            "the timestamp is not signed: anyone with an old delivery can give it a new time",
            'sign it, as in signed: "{timestamp}.{body}", if the sender does',
        )
    dedup, platform = webhook.get("dedup"), platforms.get(str(webhook.get("platform")))
    if (
        isinstance(dedup, dict)
        and platform is not None
        and platform.ignores_dedup
        and not signature
    ):
        if webhook.get("secret") or not platform.required:
            yield ProblemAt(
                ("dedup",),
                f"it isn't used: of what {platform.name} sends, only what is signed identifies a delivery",
                "remove it; to start one workflow per value, write once: {key: JSONPATH} for the start",
            )
        return
    header = dedup.get("header") if isinstance(dedup, dict) else None
    is_signed = is_timed or f"{{header:{header}}}".lower() in str(scheme.get("signed", "")).lower()
    if (signature or webhook.get("secret")) and header is not None and not is_signed:
        yield ProblemAt(
            ("dedup", "header"),
            "nobody signs it: anyone who has seen a delivery can send it again under another id",
            "name the id's place in the body, as in path: $.id, or remove dedup, unless different events can have "
            "identical bytes",
        )


def _texts(value: object, place: Where) -> Iterator[tuple[Where, str]]:
    """Every text in the value, also as a key."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield (*place, key), key
            yield from _texts(item, (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*place, number))
    elif isinstance(value, str):
        yield place, value


def _waits(webhook: Mapping[str, Any], platforms: Mapping[str, Platform]) -> Iterator[ProblemAt]:
    respond = webhook.get("respond")
    try:
        wait = (
            parse_duration(respond["wait"])
            if isinstance(respond, dict) and "wait" in respond
            else 0.0
        )
    except ValueError:
        return
    platform = platforms.get(str(webhook.get("platform")))
    most = None if platform is None else platform.answer_within
    if most is not None and wait >= most:
        yield ProblemAt(
            ("respond", "wait"),
            f"{webhook['platform']} considers a delivery failed if it isn't answered within {most:g} seconds",
            f"write a shorter time, such as {most / 2:g}s: later it is answered 202, and the workflow goes on",
        )


def _tokens(webhook: Mapping[str, Any]) -> Iterator[ProblemAt]:
    jwt = webhook.get("jwt")
    if isinstance(jwt, dict) and "audience" not in jwt and not jwt.get("claims"):
        yield ProblemAt(
            ("jwt",),
            "a token that the issuer made for anyone, or for another service, is accepted",
            "add audience: NAME, or claims: that only this sender's tokens have",
        )


def secrets_at(webhook: Mapping[str, Any], *keys: str) -> Iterator[tuple[Where, str]]:
    """Each secret under these keys, with its place."""
    value: Any = webhook
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    for number, secret in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(secret, str) and secret and UNRESOLVED not in secret:
            yield ((*keys, number) if isinstance(value, list) else keys), secret


def is_placeholder(value: str) -> bool:
    """Whether the text is a placeholder that somebody forgot to fill in."""
    return _PLACEHOLDER.fullmatch(value.strip()) is not None


def is_guessable(value: str) -> bool:
    """Whether the text can be found by brute force."""
    return len(value) < _SHORT_SECRET or len(set(value)) < _FEW_CHARACTERS


def _secrets(webhook: Mapping[str, Any], platforms: Mapping[str, Platform]) -> Iterator[ProblemAt]:
    platform = platforms.get(str(webhook.get("platform")))
    found = [*secrets_at(webhook, "secret"), *secrets_at(webhook, "signature", "secret")]
    for place, secret in (
        *found,
        *secrets_at(webhook, "callback", "secret"),
        *secrets_at(webhook, "verify_token"),
    ):
        mistaken = platform.mistaken_key if platform is not None and place[0] == "secret" else None
        if is_placeholder(secret):
            yield _placeholder(place)
        elif mistaken is not None and re.match(mistaken[0], secret):
            yield ProblemAt(
                place, mistaken[1], "enter the right one; no delivery would be accepted"
            )
        elif (odd := _why_mistaken(secret)) is not None:
            yield ProblemAt(place, *odd)
        elif is_guessable(secret) and place[0] != "verify_token":
            remedy = "use at least 16 random characters"
            yield ProblemAt(place, "a short secret, which can be guessed", remedy)


def _why_mistaken(secret: str) -> tuple[str, str] | None:
    """What came along when the secret was copied, hardly meant as a part of it, and the remedy;
    None if nothing did."""
    if len(secret) > 1 and _QUOTED.fullmatch(secret):
        return (
            "a secret in quotes that are part of it",
            "remove them: Docker's --env-file, for one, doesn't",
        )
    if (secret != secret.strip() or not secret.isprintable()) and not secret.lstrip().startswith(
        _PEM
    ):
        what = "a secret that starts or ends with a space or line break, or has a character that nobody sees"
        return what, "remove it, unless the sender has it too"
    return None


def _headers(webhook: Mapping[str, Any]) -> Iterator[ProblemAt]:
    """Headers' values: one header that can't be guessed is enough, and beside a secret none is
    needed."""
    headers = webhook.get("headers")
    names = headers if isinstance(headers, dict) else {}
    known = [found for name in names for found in secrets_at(webhook, "headers", name)]
    bare = {place: _SCHEME.sub("", value, count=1) for place, value in known}
    weak = [place for place, value in bare.items() if is_placeholder(value) or is_guessable(value)]
    for place, value in bare.items():
        if is_placeholder(value):
            yield _placeholder(place)
        elif (odd := _why_mistaken(value)) is not None:
            yield ProblemAt(place, *odd)
    proven = any(webhook.get(key) for key in ("secret", "signature", "audience", "jwt", "mtls"))
    if (
        proven
        or {place[1] for place in bare} != set(names)
        or {place[1] for place in weak} != set(names)
    ):
        return
    for place in weak:
        if not is_placeholder(bare[place]):
            what = "a short value, which can be guessed, and nothing else proves the sender"
            yield ProblemAt(place, what, "use at least 16 random characters")


def _placeholder(place: Where) -> ProblemAt:
    return ProblemAt(place, "a placeholder, not a secret", "put the real one in its place")
