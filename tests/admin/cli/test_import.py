"""`webhook-bridge import`: Conductor's own webhooks as YAML."""

from __future__ import annotations

import json

from tests.admin.conftest import Cli
from tests.support.sample import Sample


def test_import_prints_yaml_and_says_what_to_set(cli: Cli, sample: Sample) -> None:
    file = sample.folder / "orkes.json"
    file.write_text(
        json.dumps(
            [
                {
                    "name": "pay",
                    "verifier": "STRIPE",
                    "secretValue": "hush",
                    "receiverWorkflowNamesToVersions": {"a": 1},
                }
            ]
        ),
        encoding="utf-8",
    )
    result = cli("import", str(file))
    assert "platform: stripe" in result.stdout
    assert "hush" not in result.output
    assert result.stderr == "set PAY_SECRET: the signing secret of Stripe\n"
    assert cli("import", "-", stdin=file.read_bytes()).stdout == result.stdout


def test_import_of_another_encoding_says_which_it_reads(cli: Cli, sample: Sample) -> None:
    file = sample.folder / "orkes.json"
    file.write_text('[{"name": "pay"}]', encoding="utf-16")
    stderr = cli("import", str(file), code=1).stderr
    assert stderr == f"{file} isn't UTF-8; save it as UTF-8 (PowerShell's > writes UTF-16)\n"


def test_import_of_what_nothing_verifies_is_1(cli: Cli) -> None:
    text = b'{"name": "x", "receiverWorkflowNamesToVersions": {"a": 1}}'
    result = cli("import", "-", stdin=text, code=1)
    assert "x: no verifier" in result.stderr
    assert "name: x" in result.stdout


def test_import_of_anything_else_is_1(cli: Cli) -> None:
    assert "not JSON" in cli("import", "-", stdin=b"<xml>", code=1).stderr
    assert "No such file" in cli("import", "nothing.json", code=2).stderr
