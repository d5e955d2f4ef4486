"""The pages of the documentation do what they say: their commands are run, and print what the pages show."""

from __future__ import annotations

import os

import pytest

from testkit import sample
from testkit.client import Conductor
from tests.acceptance.document import recipe
from tests.acceptance.pages import LEFT_OUT, PAGES, RUN
from tests.acceptance.shell import Shell, Workplace

ORKES = """[{"name": "payments", "sourcePlatform": "Stripe", "verifier": "STRIPE", "secretValue": "hidden",
"receiverWorkflowNamesToVersions": {"settle": 1}, "workflowsToStart": {}}]"""
SUPPOSED = {
    "docs/definitions.md": {"config/webhooks.yaml": PAGES["docs/definitions.md"].blocks("yaml")[0]},
    "docs/orkes.md": {
        "orkes-webhook.json": ORKES,
        "config/webhooks.yaml": sample.DEFINITIONS,
        "data/webhooks/orders.yaml": "webhooks: [{name: orders, verifier: none, receivers: {order_flow: any}}]\n",
    },
    "docs/recipes/README.md": {"workflow.json": recipe("chatbot").blocks("json")[0].replace("chatbot", "try_one")},
}
"""Files that a page supposes to be there."""


@pytest.mark.skipif("TEST_CONDUCTOR_SERVER_URL" in os.environ, reason="others' workflows may wait on that server")
@pytest.mark.parametrize("path", RUN)
def test_a_page_does_what_it_shows(path: str, shell: Shell, workplace: Workplace, conductor_url: str) -> None:
    sample.register(Conductor(conductor_url))
    for name, text in SUPPOSED.get(path, {}).items():
        (workplace.folder / name).parent.mkdir(exist_ok=True)
        (workplace.folder / name).write_text(text, encoding="utf-8")
    for step in PAGES[path].steps:
        if step.command not in LEFT_OUT:
            shell.play(step)
