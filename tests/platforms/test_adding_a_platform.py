"""Adding a platform is adding a row and a folder: Acme's, in `example`, by the recipe of
docs/adding-a-platform.md."""

from __future__ import annotations

import base64
import hmac
import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from config.webhooks import load_definitions
from platforms import PLATFORMS, discover
from platforms.verifiers import Draft
from relay.verify.verification import verifiers_of
from tests.platforms import example
from tests.platforms.test_properties import SECRETS
from tests.support.relay import NOW, Clock, MakeRelay, Relay

ACME = {
    "name": "rockets",
    "platform": "acme",
    "secret": "acme-secret-0123456789",
    "public_url": "https://hooks.example.com/rockets",
}


@pytest.fixture
def relay(make_relay: MakeRelay, clock: Clock) -> Relay:
    """A relay that knows Acme as well."""
    return make_relay(ACME, platforms={**PLATFORMS, **discover(example)})


def headers(body: bytes, at: float = NOW) -> dict[str, str]:
    """What Acme sends, made without our own code."""
    stamp = str(int(at * 1000))
    message = f"{stamp}|POST|https://hooks.example.com/rockets|".encode() + body
    signature = base64.b64encode(hmac.digest(b"acme-secret-0123456789", message, "sha512")).decode()
    return {"X-Acme-Time": stamp, "X-Acme-Signature": f"a0:old; a1:{signature}"}


def test_its_deliveries_are_accepted_once_and_nothing_else(relay: Relay) -> None:
    body = b'{"event": {"id": "e-1", "kind": "launched", "rocket": "Saturn", "height": 110}}'
    assert relay.post("rockets", body, {}).status_code == 401
    assert relay.post("rockets", body + b" ", headers(body)).status_code == 401
    assert relay.post("rockets", body, headers(body, NOW - 121)).status_code == 401
    assert relay.post("rockets", body, headers(body, NOW - 120)).status_code == 200
    assert relay.post("rockets", body, headers(body)).get_json()["duplicate"] is True
    event = relay.event()
    assert (event.delivery_id, event.type) == ("e-1", "launched")
    assert list((event.summary_parts or {}).values()) == ["launched", "Saturn", "at 110"]
    assert not any("signature" in name for name in event.headers)


def test_its_handshake_is_answered_and_verifies(relay: Relay) -> None:
    body = b'{"kind": "handshake"}'
    assert relay.post("rockets", body, {}).status_code == 401
    assert relay.post("rockets", body, headers(body)).get_json() == {"hello": "acme"}
    assert relay.verified() == {"rockets"}
    assert relay.events() == []


def test_its_definitions_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(
        json.dumps({"webhooks": [{"name": "a", "platform": "acme", "receivers": {"b": "any"}}]})
    )
    with pytest.raises(Exception, match="secret"):
        load_definitions(file, {**PLATFORMS, **discover(example)})


def test_the_bridge_can_sign_for_it(relay: Relay) -> None:
    (webhook,) = load_definitions(relay.file, discover(example)).webhooks
    draft = Draft("POST", ACME["public_url"], {"Content-Type": "application/json"}, b"{}", NOW)
    for verifier, credentials in verifiers_of(webhook, discover(example)["acme"]):
        draft = verifier.sign(draft, credentials)
    assert relay.post("rockets", draft.body, draft.headers).status_code == 200


def test_a_platform_is_named_after_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "misnamed"
    (package / "one").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "one" / "__init__.py").write_text(
        "from platforms.base import Platform\nclass Other(Platform):\n    name = 'other'\nPLATFORM = Other()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=r"misnamed\.one declares other"):
        discover(import_module("misnamed"))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            'Platform(name="acme")',
            "row declares acme: its guide and samples belong in a folder acme",
        ),
        (
            'Platform(name="there", titel="There")',
            "platform there: platforms/base.py has no `titel`",
        ),
        ('Platform(name="there"), Platform(name="there")', "there is declared twice"),
        (
            'Platform(name="there", verifier=Hmac(header="X-Sign", signed="{date}{body}"))',
            "{date} is none of body",
        ),
        (
            'Platform(name="there", verifier=Hmac(header="X-Sign", signed="{id}{body}"))',
            "X-Sign: no header is declared",
        ),
    ],
)
def test_a_mistake_in_a_row_is_said(
    row: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"package_{abs(hash(row))}"
    (tmp_path / name / "table").mkdir(parents=True)
    (tmp_path / name / "there").mkdir()
    (tmp_path / name / "__init__.py").touch()
    imports = "from platforms.base import Platform\nfrom platforms.verifiers import Hmac\n"
    (tmp_path / name / "table" / "__init__.py").write_text(f"{imports}TABLE = ({row},)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        (ValueError, TypeError), match=re.escape(says.replace("row", f"{name}.table"))
    ):
        discover(import_module(name))


def test_the_recipe_shows_this_very_file() -> None:
    root = Path(__file__).parents[2]
    shown = re.findall(
        r"```python\n(.*?)```",
        (root / "docs/adding-a-platform.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert shown == [Path(example.__path__[0], "table", "__init__.py").read_text(encoding="utf-8")]


def test_every_example_of_the_platforms_pages_can_be_used(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    pages = [root / "docs/platforms.md", *(root / "platforms").rglob("README.md")]
    examples = [
        text
        for page in pages
        for text in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    ]
    shown = set()
    for number, shown_example in enumerate(examples):
        file = tmp_path / f"{number}.yaml"
        file.write_text(shown_example)
        names = re.findall(r"\$\{(\w+)\}", shown_example)
        (platform,) = set(re.findall(r"platform: (\S+)", shown_example)) or {"custom"}
        environment = dict.fromkeys(names, SECRETS.get(platform, "0123456789abcdef-secret"))
        shown |= {
            webhook.platform for webhook in load_definitions(file, PLATFORMS, environment).webhooks
        }
    assert shown == set(PLATFORMS)
