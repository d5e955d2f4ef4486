"""A release's notes are its section of the changelog."""

from __future__ import annotations

from tools.release.files import notes, sections, with_release
from tools.servers.processes import ROOT

CHANGELOG = """# Changelog

What a user had before, and has now.

## Unreleased

- New: see [the page](docs/new.md#part), [elsewhere](https://example.com/x) and [below](#0.1.0).

## 0.1.0

The first.
"""


def test_notes_are_the_section_and_its_links_lead_to_the_repository() -> None:
    text = notes(with_release(CHANGELOG, "0.2.0"), "0.2.0", "https://example.com/blob/v0.2.0")
    assert text == (
        "- New: see [the page](https://example.com/blob/v0.2.0/docs/new.md#part), "
        "[elsewhere](https://example.com/x) and [below](#0.1.0).\n"
    )


def test_a_release_takes_all_that_was_unreleased() -> None:
    released = sections(with_release(CHANGELOG, "0.2.0"))
    assert list(released) == ["Unreleased", "0.2.0", "0.1.0"]
    assert released["Unreleased"] == ""
    assert released["0.2.0"] == sections(CHANGELOG)["Unreleased"]


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    assert next(iter(sections((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))) == "Unreleased"
