"""Adds imported webhooks to definitions that are there already: to a file, or as files of their own to a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from admin.definitions.entry_text import CantCut, cut_out, names_taken
from admin.definitions.writer import CantWrite, NameTaken, replace_file
from admin.orkes.importing import Imported, to_yaml
from config.yaml_lines import BadYaml, parse_yaml

_INDENT = 2
"""Spaces before the entries of `to_yaml`."""


def write_into(place: Path, webhooks: Sequence[Imported]) -> list[Path]:
    """Adds the webhooks to the file, or to the folder as NAME.yaml each; the files that were written.

    What is in the file stays as it is, comments included. Raises NameTaken and CantWrite; nothing is written then.
    """
    texts = _in_folder(place, webhooks) if place.is_dir() else {place: _in_file(place, webhooks)}
    try:
        for path, text in texts.items():
            replace_file(path, text, new=not path.exists())
    except OSError as error:
        raise CantWrite(f"{error.filename or place} can't be written: {error.strerror}") from None
    return list(texts)


def _in_folder(folder: Path, webhooks: Sequence[Imported]) -> dict[Path, str]:
    texts = {folder / f"{one.keys['name']}.yaml": to_yaml([one]) for one in webhooks}
    there = names_taken(folder, frozenset(one.keys["name"] for one in webhooks))
    taken = [path.stem for path in texts if path.exists() or path.stem in there]
    if taken:
        raise NameTaken(f"{', '.join(taken)}: already in {folder}; rename or remove one of them, and import again")
    return texts


def _in_file(file: Path, webhooks: Sequence[Imported]) -> str:
    added = to_yaml(webhooks)
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        before = parse_yaml(text).value
    except (OSError, UnicodeDecodeError) as error:
        raise CantWrite(f"{file} can't be read: {error}") from None
    except BadYaml as error:
        raise CantWrite(f"{file}:{error.line}: {error}; {error.remedy}") from None
    if before is None:
        return f"{text}{added}"
    there = (before.get("webhooks") or []) if isinstance(before, dict) else None
    if not isinstance(there, list):
        raise CantWrite(f"{file} is no file of definitions: it has no list `webhooks`")
    names = {one["name"] for one in there if isinstance(one, dict) and "name" in one}
    if taken := [one.keys["name"] for one in webhooks if one.keys["name"] in names]:
        raise NameTaken(f"{', '.join(taken)}: already in {file}; rename or remove one of them, and import again")
    try:
        text = _with_entries(text, added)
        merged = parse_yaml(text).value
    except (CantCut, BadYaml):
        merged = None
    if merged != {**before, "webhooks": [*there, *parse_yaml(added).value["webhooks"]]}:
        raise CantWrite(
            f"the list `webhooks` of {file} isn't written one `- name:` below the other, so nothing was added to it; "
            "without --into, the YAML is printed for you to add"
        )
    return text


def _with_entries(text: str, added: str) -> str:
    """The text with the entries of `added` behind its last webhook, indented as that is. Raises CantCut."""
    document = parse_yaml(text)
    if not document.value.get("webhooks"):
        replaced, number = re.subn(r"^webhooks:.*$", lambda _: added.rstrip(), text, count=1, flags=re.MULTILINE)
        return replaced if number else f"{text.rstrip()}\n{added}"
    last = cut_out(text, document, len(document.value["webhooks"]) - 1)
    comment, _, *entries = added.splitlines()
    indent = " " * last.dash.index("-")
    lines = "".join(f"{indent}{line[_INDENT:]}\n" for line in (f"{' ' * _INDENT}{comment}", *entries))
    return f"{last.put_back(last.text).removesuffix(last.below).rstrip()}\n\n{lines}{last.below}"
