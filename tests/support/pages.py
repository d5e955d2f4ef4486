"""Which pages of the documentation have their commands run, and why the others don't.

tests/test_docs.py holds that no page and no command is missing here.
"""

from __future__ import annotations

from tests.support.document import Document
from tools.servers.processes import ROOT

PAGES = {
    path: Document(path)
    for path in sorted(
        str(page.relative_to(ROOT)) for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    )
}
RUN = [
    "docs/slack-walkthrough.md",
    "docs/definitions.md",
    "docs/troubleshooting.md",
    "docs/recipes/README.md",
]
"""The pages that test_documents.py runs beside one bridge, as it does those of the recipes."""
IN_A_CLEAN_FOLDER = ["README.md", "docs/quickstart.md", "docs/orkes.md", "docs/operations.md"]
"""The pages that test_first_pages.py and test_quickstart.py run."""
OTHERS = {
    "CONTRIBUTING.md": "its commands run the tests",
    "docs/adding-a-platform.md": "it makes a platform; every platform of ours was made so",
    "docs/admin.md": "needs the packages' own processes; its commands are in tests/admin",
    "docs/agents.md": "needs an agent's own program; the server that it talks to has tests of its own",
    "docs/incoming-webhooks.md": "tests/admin/page/test_incoming_webhooks_page.py makes what it makes",
    "docs/kubernetes.md": "needs a cluster: tests/cluster",
    "docs/performance.md": "runs the benchmarks",
    "docs/releasing.md": "needs a release, and accounts where it is published: tests/tools/release",
    "docs/scaling.md": "needs a PostgreSQL server and an account that makes databases: tests/store",
}
"""Pages whose commands are not run, and why."""
BESIDE_DOCKER = [
    step
    for step in PAGES["docs/quickstart.md"].steps
    if step.command.startswith("docker compose exec") or "//localhost:8080/" in step.command
]
"""The commands of the quick start for a second terminal, where `docker compose up` runs."""
LEFT_OUT = {
    "journalctl -u 'webhook-bridge-*' -o cat | jq -c 'select(.event_id == \"0199…\")'": "needs systemd",
    "make run": "it is what the pages are run in",
    "docker compose up": "needs Docker; tests/deploy/test_compose.py runs the containers' commands without it",
    **{step.command: "tests/deploy/test_compose.py runs it" for step in BESIDE_DOCKER},
    ".venv/bin/python -m tools.demo.services": "the tests play the services on a port of their own",
    "webhook-bridge listen https://bridge-admin.example.com --forward http://localhost:8000/webhook/github-deploys": (
        "follows a public bridge; tests/acceptance/test_listen.py does"
    ),
    'curl -H "X-Api-Key: $ASK_KEY" -H "X-Request-Id: 1" --json \'{"name": "Ada"}\' https://YOUR-HOST/webhook/ask': (
        "tests/acceptance/test_answers.py plays the example"
    ),
    "export CONDUCTOR_SECRET_SLACK_BOT_TOKEN=xoxb-…": "a secret of one's own, for a server that isn't running yet",
    'curl -s -H "X-Authorization: $TOKEN" https://ORKES/api/metadata/webhook > orkes-webhook.json': (
        "needs an account at Orkes"
    ),
}
"""Commands that are not run, and why."""
