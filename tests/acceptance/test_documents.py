"""The pages of the documentation do what they say: their commands are run, and print what the pages
show.

Recipes do more: their definitions and workflows are played to their ends, with the services that
they call.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.shell import Shell, Workplace
from tests.support.bridge import Bridge, started_by
from tests.support.document import RECIPES, recipe
from tests.support.pages import LEFT_OUT, PAGES, RUN
from tools.demo import sample
from tools.demo.services import SECRETS, Services
from tools.servers.client import Conductor, wait_for
from tools.servers.conductor import ConductorServer

pytestmark = pytest.mark.skipif(
    "TEST_CONDUCTOR_SERVER_URL" in os.environ,
    reason="others' workflows may wait on that server, and it lacks the secrets of the recipes' workflows",
)

SUPPOSED = {
    "docs/definitions.md": {"config/webhooks.yaml": PAGES["docs/definitions.md"].blocks("yaml")[0]},
    "docs/recipes/README.md": {
        "workflow.json": recipe("chatbot").blocks("json")[0].replace("chatbot", "try_one")
    },
}
"""Files that a page supposes to be there."""


@pytest.mark.parametrize("path", RUN)
def test_a_page_does_what_it_shows(
    path: str, shell: Shell, workplace: Workplace, conductor_url: str
) -> None:
    sample.register(Conductor(conductor_url))
    for name, text in SUPPOSED.get(path, {}).items():
        (workplace.folder / name).parent.mkdir(exist_ok=True)
        (workplace.folder / name).write_text(text, encoding="utf-8")
    for step in PAGES[path].steps:
        if step.command not in LEFT_OUT:
            shell.play(step)


# --- recipes ---

# Conductor reads the secrets of workflows from its environment, or else from these; no server
# starts before all modules are imported.
ConductorServer.java_options.extend(
    f"-DCONDUCTOR_SECRET_{name}={secret}" for name, secret in SECRETS.items()
)

SECRET = "It's a Secret to Everybody, of 42 letters."

Play = Callable[[str], Iterator[str]]


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """The services that the workflows call."""
    services = Services()
    yield services
    services.stop()


@pytest.fixture
def bridge(workplace: Workplace) -> Workplace:
    return workplace


@pytest.fixture
def play(
    shell: Shell, workplace: Workplace, conductor: Conductor, services: Services
) -> Iterator[Play]:
    """Follows a recipe: each `next` runs the page's next command, and is the event's or workflow's
    id or "filtered"."""
    services.calls.clear()
    names = []
    env_file = workplace.folder / ".env"
    before = env_file.read_text()

    def commands(name: str) -> Iterator[str]:
        page = recipe(name)
        workflow = page.workflow(services.url)
        conductor.call("POST", "/metadata/workflow", workflow)
        names.append(workflow["name"])
        variables = set(re.findall(r"\$\{([A-Z_]+)\}", page.webhooks))
        lines = [
            f'{name}="{SECRET}"\n' for name in variables if f"\n{name}=" not in env_file.read_text()
        ]
        with env_file.open("a") as file:
            file.writelines(lines)
        (workplace.definitions / f"{name}.yaml").write_text(page.webhooks)
        return (_id(shell.play(step)) for step in page.steps)

    yield commands
    env_file.write_text(before)
    for name in names:
        for workflow_id in conductor.call("GET", f"/workflow/running/{name}"):
            conductor.terminate(workflow_id)


def _id(printed: str) -> str:
    """The id in what `send` or Conductor answered."""
    if not printed.startswith("200 OK\n"):
        return printed
    answer = json.loads(printed.partition("\n")[2])
    return "filtered" if answer.get("filtered") else str(answer["eventId"])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_in_the_list_and_its_secrets_are_known(name: str) -> None:
    assert f"]({name}.md)" in recipe("README").text
    assert recipe(name).secrets <= set(SECRETS)


def test_chatbot_answers_a_mention_in_its_thread_and_no_bot(
    play: Play, bridge: Bridge, conductor: Conductor, services: Services
) -> None:
    mention, bot = play("chatbot")

    bridge.wait_for_event(mention, "delivered")
    [workflow] = started_by(conductor, "chatbot", mention)
    ended = conductor.wait_for_status(workflow["workflowId"])
    assert ended["output"] == {"answer": "On Friday.", "posted": True}
    asked, posted = services.calls
    assert asked.body == {"user": "U061F7AUR", "question": "<@U0LAN0Z89> When do we ship?"}
    assert asked.authorization == f"Bearer {SECRETS['ASSISTANT_TOKEN']}"
    assert posted.url == "slack.com/api/chat.postMessage"
    assert posted.body == {
        "channel": "C024BE91L",
        "thread_ts": "1700000000.000100",
        "text": "On Friday.",
    }
    assert posted.authorization == f"Bearer {SECRETS['SLACK_BOT_TOKEN']}"
    assert bot == "filtered"
    assert SECRETS["SLACK_BOT_TOKEN"] not in json.dumps(ended), (
        "the history has the reference alone"
    )


def test_onboarding_goes_on_once_both_platforms_have_sent_their_event_for_the_same_employee(
    play: Play, bridge: Bridge, conductor: Conductor, services: Services
) -> None:
    first, second, *events = play("onboarding")

    for event_id in events:
        bridge.wait_for_event(event_id, "delivered")
    assert conductor.wait_for_status(first)["output"] == {"account": "A-1"}
    [call] = services.calls
    assert call.url == "accounts.example.com/accounts"
    assert call.body == {
        "employee": "E-1001",
        "contract": "D-77",
        "answers": [{"type": "text", "text": "No meat, please"}],
    }
    assert conductor.status(second) == "RUNNING"
    [waiting] = [row for row in bridge.cli_json("tasks") if row["workflowId"] == second]
    assert waiting["referenceName"] == "contract_signed"


def test_scrum_bot_starts_once_collects_the_replies_in_a_loop_and_tells_the_summary(
    play: Play, bridge: Bridge, conductor: Conductor, services: Services
) -> None:
    commands = play("scrum-bot")
    first, again = next(commands), next(commands)
    for event_id in (first, again):
        bridge.wait_for_event(event_id, "delivered")
    [workflow] = started_by(conductor, "standup", first)
    wait_for(lambda: services.calls, "the bot asks")

    for event_id in list(commands):
        bridge.wait_for_event(event_id, "delivered")

    summary = "<@U1>: Fixed the login\n<@U2>: Reviewing\n<@U3>: Waiting for access"
    assert conductor.wait_for_status(workflow["workflowId"])["output"] == {"summary": summary}
    asked, told = services.calls
    assert asked.body["channel"] == "C0SCRUM"
    assert told.body == {"channel": "C0SCRUM", "thread_ts": "1700000000.000100", "text": summary}
    assert started_by(conductor, "standup", again) == []


def test_alerts_open_one_issue_and_closing_it_completes_the_workflow(
    play: Play, bridge: Bridge, conductor: Conductor, services: Services
) -> None:
    commands = play("issues")
    alert, repeated = next(commands), next(commands)
    bridge.wait_for_event(alert, "delivered")
    bridge.wait_for_event(repeated, "delivered")
    [workflow] = started_by(conductor, "open_issue", alert)
    conductor.wait_for_task(workflow["workflowId"], "closed")
    [call] = services.calls
    assert call.url == "api.github.com/repos/acme/shop/issues"
    assert call.authorization == f"Bearer {SECRETS['GITHUB_TOKEN']}"
    assert call.body["title"] == "DiskFull: 3 % left on db1"

    other, this = commands

    bridge.wait_for_event(this, "delivered")
    ended = conductor.wait_for_status(workflow["workflowId"])
    assert ended["output"] == {
        "issue": "https://github.com/acme/shop/issues/7",
        "closedBy": "octocat",
    }
    assert bridge.targets(other) == []


def test_the_outcome_of_a_deployment_is_told_through_slacks_incoming_webhook(
    play: Play, bridge: Bridge, conductor: Conductor, services: Services
) -> None:
    workflow_id, in_progress, success = play("tell-slack")

    bridge.wait_for_event(success, "delivered")
    assert conductor.wait_for_status(workflow_id)["output"] == {"state": "success"}
    [call] = services.calls
    assert call.url == f"hooks.slack.com/services/{SECRETS['SLACK_INCOMING_WEBHOOK']}"
    assert call.body == {"text": "acme/shop on production: success"}
    assert in_progress == "filtered"
