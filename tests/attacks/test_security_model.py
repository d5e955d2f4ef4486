"""docs/security-model.md says of every platform what its code does, and names every exception."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from platforms import PLATFORMS
from tests.attacks.genuine import deliveries_of, is_alike
from tests.attacks.test_unsigned import EXCEPT, is_of_sender, send, sent
from tests.platforms.test_judges import JUDGES
from tests.relay.bridge import Clock, MakeRelay
from tests.relay.verify.test_vectors import VECTORS

DOCS = Path(__file__).parents[2] / "docs"
MODEL = (DOCS / "security-model.md").read_text(encoding="utf-8")
ROWS = {
    row[0]: row[1:]
    for row in re.findall(r"^\| `([a-z0-9-]+)` \| ([^|]*?) *\| ([^|]*?) *\| *([^|]*?) *\|$", MODEL, re.MULTILINE)
}
"""platform → what is covered, the age, what tells deliveries apart."""


def test_every_platform_has_its_row() -> None:
    assert set(ROWS) == set(PLATFORMS)


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_the_table_says_what_is_covered_and_how_old_it_may_be(platform: str) -> None:
    covered, age, _ = ROWS[platform]
    verifier, tolerance = PLATFORMS[platform].verifier, PLATFORMS[platform].tolerance
    assert verifier is None or set(covered.split(", ")) == verifier.covers
    assert age == ("" if tolerance is None else f"{tolerance:g} s")
    assert (tolerance is None) or verifier is None or "time" in verifier.covers


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_the_table_says_what_tells_deliveries_apart(
    platform: str, make_relay: MakeRelay, clock: Clock, tmp_path: Path
) -> None:
    """By a digest, by an id as it was sent, or by nothing."""
    told = ROWS[platform][2]
    found = set()
    genuines = list(deliveries_of(platform, tmp_path))
    # The bodies of examples and judges are not always what the platform sends; its samples are.
    published = {vector["id"] for vector in VECTORS["vectors"]} | {f"{platform}/{make.__name__}" for make in JUDGES}
    for genuine in [one for one in genuines if one.name not in published] or genuines:
        clock.now = genuine.now
        relay = make_relay(genuine.webhook | {"name": "hook"}, fetch=genuine.fetch)
        send(relay, "hook", sent(genuine))
        found |= {event.delivery_id for event in relay.events() if not is_of_sender(genuine)}
    is_digest = {(identifier or "").startswith("sha256:") for identifier in found if identifier}
    assert not found or (None in found) == is_alike(PLATFORMS[platform])
    assert is_alike(PLATFORMS[platform]) == (told == "")
    if True in is_digest:
        assert "digest" in told, found
    if False in is_digest and platform != "custom":
        assert "`" in told, found


@pytest.mark.parametrize("platform", ["adyen", "aws-sns", "mailgun", "paypal", "slack", "stripe", "twilio"])
def test_a_dedup_that_is_not_used_is_warned_of(
    platform: str, make_relay: MakeRelay, clock: Clock, tmp_path: Path
) -> None:
    genuine = next(iter(deliveries_of(platform, tmp_path)))
    clock.now = genuine.now
    ids = set()
    for path in ("$", "$.nothing_there"):
        relay = make_relay(genuine.webhook | {"name": "hook", "dedup": {"path": path}}, fetch=genuine.fetch)
        send(relay, "hook", sent(genuine))
        ids |= {event.delivery_id for event in relay.events()}
    assert PLATFORMS[platform].ignores_dedup == (len(ids) == 1)


@pytest.mark.parametrize(("platform", "header"), sorted(EXCEPT))
def test_every_exception_is_among_the_limits(platform: str, header: str) -> None:
    limits = MODEL[MODEL.index("**Limits of the platforms' own schemes**") :]
    assert f"**{platform}**" in limits
    names = DOCS.joinpath("platforms.md").read_text(encoding="utf-8").lower()
    assert header in names


def test_every_platform_whose_events_may_be_alike_is_among_the_limits() -> None:
    limits = MODEL[MODEL.index("**Limits of the platforms' own schemes**") :]
    assert [name for name, platform in PLATFORMS.items() if is_alike(platform) and f"**{name}**" not in limits] == []


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_the_platforms_page_says_the_same(platform: str) -> None:
    page = DOCS.joinpath("platforms.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| \[`{platform}`\]\(#{platform}\) \|.*\| *([^|]*?) *\|[^|]*\|$", page, re.MULTILINE)
    assert row is not None
    assert row[1] == ROWS[platform][2]
