"""``webhook-bridge try`` and ``events diff``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from store.open import open_store
from store.records import NewEvent, new_event_id
from tests.admin.conftest import Cli
from tests.support.sample import Sample, settings_for

pytestmark = pytest.mark.usefixtures("patient_trials")


def test_what_would_have_fitted_and_how_it_is_written(cli: Cli, sample: Sample) -> None:
    result = cli("try", "github-deploys", "$.ref=refs/heads/main", "$.repository.private=true")
    table, _, criteria = result.stdout.partition("\n\n")
    assert f"{sample.events['delivered']}  " in table
    assert [line.split("  ")[-1] for line in table.splitlines()][-1] == "fits"
    assert '$.ref is "refs/tags/v2", expected is "refs/heads/main"' in table
    matches = {"$.ref": "refs/heads/main", "$.repository.private": True}
    assert json.loads(criteria) == {"inputParameters": {"matches": matches}}
    assert "1 of 4 would have fitted" in result.stderr
    tried = json.loads(cli("try", "github-deploys", "$.ref=refs/heads/main", "--json").stdout)
    assert [one["eventId"] for one in tried if one["fits"]] == [sample.events["delivered"]]


def test_conditions_with_operators_and_keys_are_yaml(cli: Cli, sample: Sample) -> None:
    result = cli("try", "github-deploys", "--kind", "when", '$.ref={"$regex": "Main"}')
    assert "when:\n  $.ref:\n    $regex: Main\n" in result.stdout
    assert "once:\n  key: $.ref\n" in cli("try", "github-deploys", "-k", "once", "$.ref").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("github-deploys", "$.ref=nothing"), 1, "0 of 4 would have fitted"),
        (("github-deploys", "$.ref"), 2, "is not a condition: write $.path=value"),
        (("github-deploys", "$[=1"), 2, "is not a condition"),
        (("github-deploys", '$.ref={"$gt": 1}'), 1, "operators are for `when` and `only`"),
        (("github-deploys", "-k", "once", "$.a", "$.b"), 2, "once has one key"),
        (("github-deploys",), 2, "Missing argument"),
        (("unknown", "$.a=1"), 1, "no webhook unknown"),
    ],
)
def test_what_cannot_be_tried_is_said(
    cli: Cli, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert words in cli("try", *arguments, code=code).output


def test_an_equals_sign_inside_of_a_path_ends_nothing(cli: Cli) -> None:
    result = cli("try", "github-deploys", "$.commits[?(@.id == 'a')].id=a", code=1)
    assert '"$.commits[?(@.id == \'a\')].id": "a"' in result.stdout


def test_two_events_are_compared(cli: Cli, sample: Sample) -> None:
    one, other = sample.events["delivered"], sample.events["refused"]
    result = cli("events", "diff", one, other, code=1)
    assert [line.split()[:2] for line in result.stdout.splitlines()[1:]] == [
        ["changed", "$.ref"],
        ["removed", "$.repository"],
        ["removed", "$.pusher"],
    ]
    first = json.loads(cli("events", "diff", one, other, "--json", code=1).stdout)["differences"][0]
    assert first == {
        "what": "changed",
        "path": "$.ref",
        "before": "refs/heads/main",
        "after": "refs/tags/v2",
    }
    assert "they are the same" in cli("events", "diff", one, one).stderr
    cli("events", "diff", one, "unknown-event", code=1)


def test_nothing_hidden_is_tried_or_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "webhooks.yaml").write_text(
        "webhooks:\n  - {name: pay, verifier: none, hide: [$.card], receivers: {flow: any}}\n"
    )
    settings = settings_for(tmp_path)
    store, ids = open_store(settings.bridge_database), [new_event_id(), new_event_id()]
    for event_id, card in zip(ids, ("4000-0000", "4999-1234"), strict=True):
        store.deliveries.append(
            [NewEvent(event_id, "pay", 1, json.dumps({"card": card}), {}, {}, 2, None)]
        )
    cli = Cli(
        {
            "BRIDGE_WEBHOOKS": str(tmp_path / "webhooks.yaml"),
            "BRIDGE_DATABASE": settings.bridge_database,
        }
    )
    assert "can't be tried here" in cli("try", "pay", "$.card=4999-1234", code=1).output
    assert "they are the same" in cli("events", "diff", *ids).output
