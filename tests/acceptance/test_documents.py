"""The pages of the documentation do what they say: their commands are run, and print what the pages show."""

from __future__ import annotations

import os

import pytest

from testkit import sample
from testkit.client import Conductor
from testkit.processes import ROOT
from tests.acceptance.document import RECIPES, SHARE_A_BRIDGE, Document, recipe
from tests.acceptance.shell import Shell, Workplace

pytestmark = SHARE_A_BRIDGE

PAGES = {
    path: Document(path)
    for path in sorted(str(page.relative_to(ROOT)) for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
}
RUN = [
    "docs/quickstart.md",  # the first, as it tells what an empty store shows
    "README.md",
    "docs/slack-walkthrough.md",
    "docs/definitions.md",
    "docs/orkes.md",
    "docs/troubleshooting.md",
    "docs/recipes/README.md",
]
"""The pages that are run here, in this order. Those of the recipes are run by test_recipes.py."""
OTHERS = {
    "CONTRIBUTING.md": "its commands run the tests",
    "docs/adding-a-platform.md": "it makes a platform; every platform of ours was made so",
    "docs/admin.md": "needs the packages' own processes; its commands are in tests/admin",
    "docs/agents.md": "needs an agent's own program; the server that it talks to has tests of its own",
    "docs/incoming-webhooks.md": "tests/admin/page/test_incoming_webhooks_page.py makes what it makes",
    "docs/kubernetes.md": "needs a cluster: tests/cluster",
    "docs/operations.md": "needs root, systemd or a container engine: tests/deploy",
    "docs/performance.md": "runs the benchmarks",
    "docs/releasing.md": "needs a release, and accounts where it is published: tests/release",
    "docs/scaling.md": "needs a PostgreSQL server and an account that makes databases: tests/store",
}
"""Pages whose commands are not run, and why."""
LEFT_OUT = {
    "make demo": "tests/acceptance/test_demo.py runs it",
    "make run": "it is what the pages are run in",
    ".venv/bin/python -m testkit.services": "the tests play the services on a port of their own",
    "webhook-bridge listen https://bridge-admin.example.com --forward http://localhost:8000/webhook/github-deploys": (
        "follows a public bridge; tests/acceptance/test_listen.py does"
    ),
    "export CONDUCTOR_SECRET_SLACK_BOT_TOKEN=xoxb-…": "a secret of one's own, for a server that isn't running yet",
    'curl -s -H "X-Authorization: $TOKEN" https://ORKES/api/metadata/webhook > orkes-webhook.json': (
        "needs an account at Orkes"
    ),
    "curl -X POST -H 'Content-Type: application/json' -d @orders.json \"$CONDUCTOR_SERVER_URL/metadata/webhook\"": (
        "no released server has the route; tests/acceptance/test_own_webhooks.py plays one"
    ),
}
"""Commands that are not run, and why."""
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


@pytest.mark.parametrize("path", PAGES)
def test_every_command_is_run_or_left_out_for_a_reason(path: str) -> None:
    is_run = path in RUN or path in {page.path for page in map(recipe, RECIPES)}
    assert is_run or path in OTHERS or not PAGES[path].steps, "run the page, or say why it can't be"


def test_nothing_is_left_out_that_no_page_has() -> None:
    commands = {step.command for path in RUN for step in PAGES[path].steps}
    assert set(LEFT_OUT) <= commands
    assert [path for path in OTHERS if path not in PAGES] == []


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
