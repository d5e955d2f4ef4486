"""What comes along when a text is copied: characters that nobody sees, and quotes that became part of it."""

from __future__ import annotations

import re

_UNSEEN = re.compile("[\u00a0\u00ad\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\ufeff]")
"""Spaces unlike the usual one, and characters without a width; not those that join letters or emoji."""
_QUOTED = re.compile(r"""(["'`]).*\1|[“”„«‘’‚‹].*[“”»‘’›]""", re.DOTALL)

_PEM = "-----BEGIN "
"""How a key begins whose text ends with a line break."""


def unseen_in(text: str) -> str | None:
    """The first character that nobody sees, as in ``U+00A0``; None if there is none."""
    found = None if text.isascii() else _UNSEEN.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def why_mistaken(secret: str) -> tuple[str, str] | None:
    """What has hardly been meant as a part of the secret, and the remedy; None if there is no such thing."""
    if (unseen := unseen_in(secret)) is not None:
        return f"a secret with a character that nobody sees ({unseen})", "remove it, unless the sender has it too"
    if secret != secret.strip() and not secret.lstrip().startswith(_PEM):
        return "a secret that starts or ends with a space or line break", "remove it, unless the sender has it too"
    if len(secret) > 1 and _QUOTED.fullmatch(secret):
        return "a secret in quotes that are part of it", "remove them: Docker's --env-file, for one, doesn't"
    return None
