"""Rotates what proves a webhook's deliveries: the new value counts beside the old one, until that is removed."""

from __future__ import annotations

from typing import Any, NamedTuple

from admin.definitions.secret_rotation import Proof, generated_for, may_add_secret, place_of, proofs_of
from admin.definitions.values import Secret, Verbatim
from admin.definitions.writer import DefinitionsFolder, Written
from admin.errors import CantDo
from platforms.guide import guides


class CantRotate(CantDo):
    """There is nothing to rotate; the text says why."""


class ValueMissing(CantDo):
    """The platform makes the secret, so somebody must enter it; the text says which."""

    status = 422


class Rotated(NamedTuple):
    """What was rotated."""

    made_up: str | None
    """The new value, if the bridge made it up and somebody must enter it at the sender."""
    added: bool
    """Whether it is the webhook's first secret."""


def rotate(folder: DefinitionsFolder, written: Written, header: str | None, typed: str, version: str) -> Rotated:
    """Puts a new secret, or value of the header, before those in force; an empty text has one made up.

    Raises CantRotate, ValueMissing, and what writing raises: CantWrite, Changed, Invalid.
    """
    keys, proof = written.keys, _proof(written, header)
    guide = guides()[str(keys.get("platform", "custom"))]
    if not proof.values and (header or not may_add_secret(keys, guide)):
        raise CantRotate("the webhook isn't proven by a secret: change its proof in the file")
    if not typed and header is None and guide.platform.made_by != "us":
        raise ValueMissing(f"enter the {guide.platform.secret_label.lower()} that {guide.platform.title} shows")
    value = typed or generated_for(keys, proof)
    new: list[Secret | Verbatim] = [Secret(value), *map(Verbatim, proof.values)]
    folder.put_value(str(keys["name"]), place_of(keys, header), new, version)
    # A callback's secret is entered nowhere, so nobody needs to see it.
    return Rotated(None if typed or keys.get("callback") else value, not proof.values)


def remove_old(folder: DefinitionsFolder, written: Written, header: str | None, version: str) -> None:
    """Removes all but the newest secret, or value of the header. Raises CantRotate, and what writing raises."""
    proof = _proof(written, header)
    if len(proof.values) < 2:
        raise CantRotate("there is no old secret")
    place: tuple[str, ...] = place_of(written.keys, header)
    folder.put_value(str(written.keys["name"]), place, [Verbatim(proof.values[0])], version)


def _proof(written: Written, header: str | None) -> Proof:
    nothing: list[Any] = []
    return next((one for one in proofs_of(written.keys) if one.header == header), Proof(header, nothing))
