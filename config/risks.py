"""Risks in a definition without errors: warnings, which never show a secret's value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
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
    platform = platforms.get(str(webhook.get("platform")))
    for risks in _RISKS:
        yield from risks(webhook, platform)


def _mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is written as keys with values; else none."""
    return value if isinstance(value, Mapping) else {}


def _unverified(webhook: Mapping[str, Any], _: Platform | None) -> Iterator[ProblemAt]:
    if webhook.get("verifier") == "none":
        yield ProblemAt(
            ("verifier",),
            "deliveries are not verified: anyone who knows the URL can post",
            "prefer a secret, or restrict the senders with allow_ips",
        )


def _listening(webhook: Mapping[str, Any], _: Platform | None) -> Iterator[ProblemAt]:
    if webhook.get("listen") is True:
        yield ProblemAt(
            ("listen",),
            "its newest 200 deliveries are kept as they came, signatures too, for an hour and up to"
            " 32 MB; whoever has BRIDGE_ADMIN_TOKEN can read them, and what `hide` names is in"
            " them",
            "remove it once nobody listens",
        )


def _unsigned_callbacks(webhook: Mapping[str, Any], _: Platform | None) -> Iterator[ProblemAt]:
    callback = _mapping(webhook.get("callback"))
    if callback.get("by") != "id":
        return
    tasks, remedy = "those tasks", "prefer callback: {secret: ${NAME}}"
    if not callback.get("tasks"):
        tasks = "any of its waiting tasks"
        remedy += ", or name the tasks that may be completed: tasks: [NAME]"
    yield ProblemAt(
        ("callback", "by"),
        f"nothing signs its URLs: anyone who learns a workflow's id can complete {tasks}, and "
        "anyone can make the bridge ask Conductor for ids that don't exist",
        remedy,
    )


def _late_answers(webhook: Mapping[str, Any], platform: Platform | None) -> Iterator[ProblemAt]:
    respond = _mapping(webhook.get("respond"))
    if platform is None or platform.answer_within is None or "wait" not in respond:
        return
    try:
        wait = parse_duration(respond["wait"])
    except ValueError:
        return
    most = platform.answer_within
    if wait >= most:
        yield ProblemAt(
            ("respond", "wait"),
            f"{platform.name} considers a delivery failed if it isn't answered within {most:g}"
            " seconds",
            f"write a shorter time, such as {most / 2:g}s: later it is answered 202, and the"
            " workflow goes on",
        )


def _tokens_for_anyone(webhook: Mapping[str, Any], _: Platform | None) -> Iterator[ProblemAt]:
    jwt = webhook.get("jwt")
    if isinstance(jwt, dict) and "audience" not in jwt and not jwt.get("claims"):
        yield ProblemAt(
            ("jwt",),
            "a token that the issuer made for anyone, or for another service, is accepted",
            "add audience: NAME, or claims: that only this sender's tokens have",
        )


def _paths_to_nothing(webhook: Mapping[str, Any], _: Platform | None) -> Iterator[ProblemAt]:
    for key in ("only", "starts", "messages", "hide"):
        for place, text in _texts(webhook.get(key), (key,)):
            nothing = why_nothing(text)
            if nothing is not None:
                yield ProblemAt(place, *nothing)


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


# --- signatures, and the ids of deliveries


def _unsigned_time(webhook: Mapping[str, Any], _: Platform | None) -> Iterator[ProblemAt]:
    signature = _mapping(webhook.get("signature"))
    in_header = "timestamp_header" in signature
    in_format = "{timestamp}" in str(signature.get("format", ""))
    if (in_header or in_format) and not _signs(signature, "timestamp"):
        yield ProblemAt(
            ("signature", "timestamp_header" if in_header else "format"),
            "the timestamp is not signed: anyone with an old delivery can give it a new time",
            'sign it, as in signed: "{timestamp}.{body}", if the sender does',
        )


def _unused_dedup(webhook: Mapping[str, Any], platform: Platform | None) -> Iterator[ProblemAt]:
    if platform is None or not _ignores_dedup(webhook, platform):
        return
    if webhook.get("secret") or not platform.required:
        yield ProblemAt(
            ("dedup",),
            f"it isn't used: of what {platform.name} sends, only what is signed identifies a"
            " delivery",
            "remove it; to start one workflow per value, write once: {key: JSONPATH} for the start",
        )


def _unsigned_id(webhook: Mapping[str, Any], platform: Platform | None) -> Iterator[ProblemAt]:
    header = _mapping(webhook.get("dedup")).get("header")
    is_proven = webhook.get("signature") or webhook.get("secret")
    if header is None or not is_proven or _ignores_dedup(webhook, platform):
        return
    signature = _mapping(webhook.get("signature"))
    if not _signs(signature, "timestamp") and not _signs(signature, f"header:{header}"):
        yield ProblemAt(
            ("dedup", "header"),
            "nobody signs it: anyone who has seen a delivery can send it again under another id",
            "name the id's place in the body, as in path: $.id, or remove dedup, unless different"
            " events can have identical bytes",
        )


def _ignores_dedup(webhook: Mapping[str, Any], platform: Platform | None) -> bool:
    return (
        isinstance(webhook.get("dedup"), dict)
        and not webhook.get("signature")
        and platform is not None
        and platform.ignores_dedup
    )


def _signs(signature: Mapping[str, Any], part: str) -> bool:
    return f"{{{part}}}".lower() in str(signature.get("signed", "")).lower()


# --- secrets


def secrets_at(webhook: Mapping[str, Any], *keys: str) -> Iterator[tuple[Where, str]]:
    """Each secret under these keys, with its place."""
    value: Any = webhook
    for key in keys:
        value = _mapping(value).get(key)
    found: dict[Where, Any] = {keys: value}
    if isinstance(value, list):
        found = {(*keys, number): secret for number, secret in enumerate(value)}
    for place, secret in found.items():
        if isinstance(secret, str) and secret and UNRESOLVED not in secret:
            yield place, secret


def is_placeholder(value: str) -> bool:
    """Whether the text is a placeholder that somebody forgot to fill in."""
    return _PLACEHOLDER.fullmatch(value.strip()) is not None


def is_guessable(value: str) -> bool:
    """Whether the text can be found by brute force."""
    return len(value) < _SHORT_SECRET or len(set(value)) < _FEW_CHARACTERS


def _weak_secrets(webhook: Mapping[str, Any], platform: Platform | None) -> Iterator[ProblemAt]:
    mistaken = None if platform is None else platform.mistaken_key
    for place, secret in secrets_at(webhook, "secret"):
        if mistaken is not None and not is_placeholder(secret) and re.match(mistaken[0], secret):
            remedy = "enter the right one; no delivery would be accepted"
            yield ProblemAt(place, mistaken[1], remedy)
        else:
            yield from _weak_secret(place, secret)
    for keys in (("signature", "secret"), ("callback", "secret")):
        for place, secret in secrets_at(webhook, *keys):
            yield from _weak_secret(place, secret)
    for place, token in secrets_at(webhook, "verify_token"):
        yield from _miscopied(place, token)


def _weak_secret(place: Where, secret: str) -> Iterator[ProblemAt]:
    miscopied = [*_miscopied(place, secret)]
    yield from miscopied
    if not miscopied and is_guessable(secret):
        remedy = "use at least 16 random characters"
        yield ProblemAt(place, "a short secret, which can be guessed", remedy)


def _miscopied(place: Where, secret: str) -> Iterator[ProblemAt]:
    """What was hardly meant to be the secret, or a part of it."""
    if is_placeholder(secret):
        what, remedy = "a placeholder, not a secret", "put the real one in its place"
        yield ProblemAt(place, what, remedy)
    elif len(secret) > 1 and _QUOTED.fullmatch(secret):
        what = "a secret in quotes that are part of it"
        yield ProblemAt(place, what, "remove them: Docker's --env-file, for one, doesn't")
    elif secret.lstrip().startswith(_PEM):
        return
    elif secret != secret.strip() or not secret.isprintable():
        what = (
            "a secret that starts or ends with a space or line break, or has a character that"
            " nobody sees"
        )
        yield ProblemAt(place, what, "remove it, unless the sender has it too")


def _miscopied_headers(webhook: Mapping[str, Any], _: Platform | None) -> Iterator[ProblemAt]:
    for place, value in _header_values(webhook).items():
        yield from _miscopied(place, value)


def _guessable_headers(webhook: Mapping[str, Any], _: Platform | None) -> Iterator[ProblemAt]:
    """One header that can't be guessed is enough, and beside another proof none is needed."""
    if any(webhook.get(key) for key in ("secret", "signature", "audience", "jwt", "mtls")):
        return
    values = _header_values(webhook)
    placeholders = [place for place, value in values.items() if is_placeholder(value)]
    guessable = [place for place, value in values.items() if is_guessable(value)]
    weak_headers = {place[1] for place in placeholders + guessable}
    if weak_headers != set(_mapping(webhook.get("headers"))):
        return
    what = "a short value, which can be guessed, and nothing else proves the sender"
    for place in guessable:
        if place not in placeholders:
            yield ProblemAt(place, what, "use at least 16 random characters")


def _header_values(webhook: Mapping[str, Any]) -> dict[Where, str]:
    """Place → the value of a header, without a scheme such as Bearer."""
    return {
        place: _SCHEME.sub("", value, count=1)
        for name in _mapping(webhook.get("headers"))
        for place, value in secrets_at(webhook, "headers", name)
    }


_RISKS: tuple[Callable[[Mapping[str, Any], Platform | None], Iterator[ProblemAt]], ...] = (
    _unverified,
    _listening,
    _unsigned_callbacks,
    _late_answers,
    _tokens_for_anyone,
    _weak_secrets,
    _miscopied_headers,
    _guessable_headers,
    _paths_to_nothing,
    _unsigned_time,
    _unused_dedup,
    _unsigned_id,
)
"""Independent of each other: each sees the whole webhook."""
