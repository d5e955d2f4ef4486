"""What a platform's README says of its judges is so."""

from __future__ import annotations

import re
from pathlib import Path

from platforms import PLATFORMS
from tests.platforms.judged import records
from tests.platforms.more_judges import OPENSSL, buildkite, monday
from tests.platforms.test_captured import CAPTURED
from tests.platforms.test_google_tokens import KINDS
from tests.platforms.test_judges import JUDGES, zendesk
from tests.relay.verify.test_vectors import NO_TIME, VECTORS, platform_of

ROOT = Path(__file__).parents[2]
OURS = ("webhooks_cc", "openssl", "python hmac", "all(value[].clientState", "own hmac")
"""Oracles of `vectors.json` that know no more of the platform than we do."""
ELSEWHERE = {"paddle", "cloudevents"}
"""Paddle's library isn't there for every version of Python; that of CloudEvents has a test of its own."""


def judged_by(platform: str) -> str:
    """The README's last cell."""
    folder = ROOT / "platforms" / platform.replace("-", "_")
    row = (folder / "README.md").read_text(encoding="utf-8").splitlines()[4]
    return row.rstrip("| ").rpartition("|")[2].strip()


def judged() -> set[str]:
    """The platforms of which someone else than us has judged a delivery."""
    by_us = [*OPENSSL, buildkite, monday, zendesk]
    found = {make().platform for make in JUDGES if make not in by_us} | {platform for platform, *_ in KINDS}
    found |= {record.platform.name for record in records()} | {sent.platform for sent in CAPTURED}
    found |= ELSEWHERE
    for vector in VECTORS["vectors"]:
        oracles = [one["oracle"] for one in vector["oracle_verdicts"]]
        is_published = vector["published"] and vector["id"] != NO_TIME
        if is_published or any(not oracle.startswith(OURS) for oracle in oracles):
            found.add(platform_of(vector))
    published = (ROOT / "tests" / "platforms" / "test_published.py").read_text(encoding="utf-8")
    return found | set(re.findall(r'accepts\("([a-z-]+)"', published))


def test_a_readme_names_a_judge_or_a_page_and_admits_if_there_is_neither() -> None:
    for name, platform in PLATFORMS.items():
        cell = judged_by(name)
        if not platform.confirmed:
            assert cell == "*not confirmed by anyone else*", name
        elif name not in judged() | {"custom"}:
            assert re.match(r"read in \[.+\]\(https://.+\)", cell), name
        else:
            assert not cell.startswith(("read in", "*")), name
