"""What is signed has one reading: of all requests with the same signed bytes, one is accepted at
most."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config.proof_keys import Signature
from platforms.http import Request
from platforms.verifiers.refused import Refused
from platforms.verifiers.signed_parts import SignedParts
from platforms.verifiers.timestamps import read_time
from tests.support.examples import at_most, examples

Parts = dict[str, str]
"""Placeholder → what stands there."""

_BASE = "https://h/w"
_METHODS = ("GET", "POST", "PUT")
_TIMES = (
    "1760000000",
    "1760000000000",
    "1760000000.5",
    "2025-10-09T08:53:20Z",
    "2025-10-09T08:53:20.5Z",
)
_LITERALS = st.sampled_from(["", "?", ".", "..", ":", "\n", "1", "Z", "/", "w?"])
_NAMES = st.lists(
    st.sampled_from(["url", "timestamp", "query", "header:A", "header:B", "method", "path"]),
    max_size=2,
    unique=True,
)


def _texts(literals: list[str]) -> st.SearchStrategy[str]:
    """Texts that have in them what separates the parts."""
    pieces = st.sampled_from([*filter(None, literals), "a", "?", "17", ".5", _BASE, _TIMES[0]])
    return st.lists(pieces, max_size=4).map("".join)


def _fits(name: str, text: str) -> bool:
    """Whether a request may have this there."""
    if name == "timestamp":
        try:
            read_time(text, "any")
        except Refused:
            return False
        return True
    if name == "url":
        return text == _BASE or (
            text.startswith(f"{_BASE}?") and text != f"{_BASE}?" and _fits("query", text)
        )
    if name == "query":
        return not set(text) & set("\n #")
    if name.startswith("header:"):
        return "\n" not in text
    return name == "body" or text in (("/w",) if name == "path" else _METHODS)


def _readings(names: tuple[str, ...], literals: list[str], text: str) -> Iterator[Parts]:
    """Every request of which this is what is signed."""
    if not names:
        if not text:
            yield {}
        return
    ends = range(len(text) + 1) if len(names) > 1 else [len(text) - len(literals[0])]
    for end in ends:
        if end >= 0 and text.startswith(literals[0], end) and _fits(names[0], text[:end]):
            for rest in _readings(names[1:], literals[1:], text[end + len(literals[0]) :]):
                query = text[:end].partition("?")[2] if names[0] == "url" else text[:end]
                if names[0] not in ("url", "query") or rest.get("query", query) == query:
                    yield (
                        rest
                        | {names[0]: text[:end]}
                        | ({"query": query} if names[0] in ("url", "query") else {})
                    )


def _message(signed: SignedParts, parts: Parts) -> bytes | None:
    """What is signed of the request; None if it is refused."""
    query = parts.get("query", "")
    headers = {name[7:].lower(): text for name, text in parts.items() if name.startswith("header:")}
    url = f"{_BASE}?{query}" if query else _BASE
    request = Request(
        parts.get("method", "POST"), url, query, headers, parts["body"].encode(), None, 0.0
    )
    try:
        return signed.message(request, parts.get("timestamp", "").encode())
    except Refused:
        return None


@examples
@settings(max_examples=at_most(900))
@given(
    others=_NAMES,
    place=st.integers(0, 2),
    literals=st.lists(_LITERALS, min_size=4, max_size=4),
    data=st.data(),
)
def test_no_two_requests_with_the_same_signed_bytes_are_accepted(
    others: list[str], place: int, literals: list[str], data: st.DataObject
) -> None:
    names = (*others[:place], "body", *others[place:])
    template = literals[0] + "".join(
        f"{{{name}}}{text}" for name, text in zip(names, literals[1:], strict=False)
    )
    assume(
        not [
            place
            for place, _ in Signature.rules({"signed": template, "timestamp_header": "T"})
            if place == "signed"
        ]
    )
    fixed = {
        "timestamp": st.sampled_from(_TIMES),
        "method": st.sampled_from(_METHODS),
        "path": st.just("/w"),
    }
    texts = {
        name: fixed.get(name, _texts(literals))
        for name in {*names, *(["query"] if "url" in names else [])}
    }
    parts = data.draw(
        st.fixed_dictionaries({name: texts[name] for name in sorted(texts.keys() - {"url"})})
    )
    assume(all(_fits(name, text) for name, text in parts.items()))
    signed = SignedParts(template)
    message = _message(signed, parts)
    assume(message is not None)
    assert message is not None
    rest = message.decode().removeprefix(literals[0])
    accepted = [
        found
        for found in _readings(names, literals[1:], rest)
        if _message(signed, found) == message
    ]
    assert len({tuple(sorted(found.items())) for found in accepted}) == 1, accepted
