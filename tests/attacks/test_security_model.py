"""The tables of docs say of every platform what its code does, and security-model.md names every
exception."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from platforms import PLATFORMS
from tests.attacks.test_unsigned import EXCEPT, is_of_sender, send, sent
from tests.platforms.test_judges import JUDGES
from tests.relay.verify.test_vectors import VECTORS
from tests.support.genuine import deliveries_of, is_alike
from tests.support.relay import Clock, MakeRelay

DOCS = Path(__file__).parents[2] / "docs"
MODEL = (DOCS / "security-model.md").read_text(encoding="utf-8")
COVERED = {
    platform: covered
    for covered, platforms in re.findall(r"^\| ([a-z, ]+) \| (`[^|]*) \|$", MODEL, re.MULTILINE)
    for platform in re.findall(r"`([a-z0-9-]+)`", platforms)
}
"""platform → what its proof covers."""
IDENTIFIED = dict(
    re.findall(
        r"^\| \[`([a-z0-9-]+)`\]\([^|]*\|.*\| *([^|]*?) *\|$",
        DOCS.joinpath("platforms.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)
"""platform → what tells its deliveries apart."""


def test_every_platform_is_in_both_tables() -> None:
    assert set(COVERED) == set(IDENTIFIED) == set(PLATFORMS)


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_the_table_says_what_is_covered(platform: str) -> None:
    verifier, tolerance = PLATFORMS[platform].verifier, PLATFORMS[platform].tolerance
    assert verifier is None or set(COVERED[platform].split(", ")) == verifier.covers
    assert (tolerance is None) or verifier is None or "time" in verifier.covers


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_the_table_says_what_tells_deliveries_apart(
    platform: str, make_relay: MakeRelay, clock: Clock, tmp_path: Path
) -> None:
    """By a digest, by an id as it was sent, or by nothing."""
    told = IDENTIFIED[platform]
    found = set()
    genuines = list(deliveries_of(platform, tmp_path))
    # The bodies of examples and judges are not always what the platform sends; its samples are.
    published = {vector["id"] for vector in VECTORS["vectors"]} | {
        f"{platform}/{make.__name__}" for make in JUDGES
    }
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


@pytest.mark.parametrize(
    "platform", ["adyen", "aws-sns", "mailgun", "paypal", "slack", "stripe", "twilio"]
)
def test_a_dedup_that_is_not_used_is_warned_of(
    platform: str, make_relay: MakeRelay, clock: Clock, tmp_path: Path
) -> None:
    genuine = next(iter(deliveries_of(platform, tmp_path)))
    clock.now = genuine.now
    ids = set()
    for path in ("$", "$.nothing_there"):
        relay = make_relay(
            genuine.webhook | {"name": "hook", "dedup": {"path": path}}, fetch=genuine.fetch
        )
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
    assert [
        name
        for name, platform in PLATFORMS.items()
        if is_alike(platform) and f"**{name}**" not in limits
    ] == []
