"""What a platform's README says of its judges is so."""

from __future__ import annotations

import re
from pathlib import Path

from platforms import PLATFORMS
from tests.platforms.judged import records
from tests.platforms.test_captured import CAPTURED
from tests.platforms.test_google_tokens import KINDS
from tests.platforms.test_judges import JUDGES
from tests.relay.verify.test_vectors import NO_TIME, VECTORS, platform_of

ROOT = Path(__file__).parents[2]
OURS = ("webhooks_cc", "openssl", "python hmac", "all(value[].clientState", "own hmac")
"""Oracles of `vectors.json` that know no more of the platform than we do."""


def judged_by(platform: str) -> str:
    """The README's last cell."""
    folder = ROOT / "platforms" / platform.replace("-", "_")
    row = (folder / "README.md").read_text(encoding="utf-8").splitlines()[4]
    return row.rstrip("| ").rpartition("|")[2].strip()


def judged() -> set[str]:
    """The platforms of which someone else than us has judged a delivery."""
    found = (
        {make().platform for make in JUDGES}
        | {platform for platform, *_ in KINDS}
        | {"cloudevents"}
    )
    found |= {record.platform.name for record in records()} | {sent.platform for sent in CAPTURED}
    for vector in VECTORS["vectors"]:
        oracles = [one["oracle"] for one in vector["oracle_verdicts"]]
        is_published = vector["published"] and vector["id"] != NO_TIME
        if is_published or any(not oracle.startswith(OURS) for oracle in oracles):
            found.add(platform_of(vector))
    return found


def test_a_readme_names_a_judge_or_a_page_and_admits_if_there_is_neither() -> None:
    for name, platform in PLATFORMS.items():
        cell = judged_by(name)
        if not platform.confirmed:
            assert cell == "*not confirmed by anyone else*", name
        elif name not in judged() | {"custom"}:
            assert re.match(r"read in \[.+\]\(https://.+\)", cell), name
        else:
            assert not cell.startswith(("read in", "*")), name
