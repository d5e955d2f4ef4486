"""Encodings come from a table, and a stranger's names leave nothing behind."""

from __future__ import annotations

import codecs
from encodings.aliases import aliases

import pytest

from platforms import PLATFORMS
from platforms.bodies import BadBody, UnreadableMediaType, read_body
from platforms.charsets import codec_of
from platforms.http import Request


def test_all_of_pythons_other_names_of_a_codec_are_known() -> None:
    for alias in aliases:
        try:
            codec = codecs.lookup(alias).name
        except LookupError:
            continue
        if codec_of(alias) is not None:
            assert codec_of(alias) == codec
        else:
            assert codec_of(codec) is None


@pytest.mark.parametrize(
    "name", ["", "x", "rot13", "idna", "base64", "\0", "é", "utf-8" + " " * 100, "u" * 100_000]
)
def test_other_names_are_none(name: str) -> None:
    assert codec_of(name) is None


def test_no_name_of_a_stranger_is_asked_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """`codecs.lookup` keeps each for good, also those that it doesn't know."""
    asked: list[str] = []

    def search(name: str) -> None:
        asked.append(name)

    codecs.register(search)
    try:
        for number in range(100):
            for content_type in (
                f"text/plain; charset=none{number}",
                f"text/xml; charset=nothing-{number}",
            ):
                with pytest.raises(UnreadableMediaType):
                    read_body(b"x", content_type)
            with pytest.raises(UnreadableMediaType):
                read_body(b"<?xml version='1.0' encoding='never-%d'?><a/>" % number, "text/xml")
            message = b'<?xml version="1.0" encoding="forged-%d"?><a/>' % number
            with pytest.raises(BadBody):
                PLATFORMS["salesforce"].read(
                    Request("POST", "", "", {}, message, None, 0.0), signed=False
                )
    finally:
        codecs.unregister(search)
    # Others may ask, too: the table of names is made when the first one is looked up.
    assert [name for name in asked if name.startswith(("none", "nothing", "never", "forged"))] == []
