"""``webhook-bridge``: the command line. Exit codes: 0; 1 for problems; 2 for wrong usage."""

from __future__ import annotations

import click

from admin.cli.groups import ImportedCommands, server_options

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EPILOG = """\b
Examples:
  webhook-bridge check                       before and after each edit of the YAML
  webhook-bridge new                         create a webhook, step by step
  webhook-bridge webhooks                    each webhook's URL, and whether it is verified
  webhook-bridge events --status expired     what no task took
  webhook-bridge events explain last         why the newest did or didn't match, task by task
  webhook-bridge events replay EVENT_ID      again, as a new event that arrives now
  webhook-bridge send slack --data @message.json

\b
Settings come from the environment and from .env in the working directory, mainly:
  BRIDGE_WEBHOOKS     the YAML file or folder   (config/webhooks.yaml)
  BRIDGE_DATABASE     the store                 (sqlite:///data/bridge.db)
  BRIDGE_PUBLIC_URL   the URL platforms call
All of them are in README.md.

\b
Exit codes: 0; 1, problems were found (see stderr); 2, wrong usage.

\b
Shell completion of commands, options and webhook names:
  bash: eval "$(_WEBHOOK_BRIDGE_COMPLETE=bash_source webhook-bridge)"   (in ~/.bashrc)
  zsh:  eval "$(_WEBHOOK_BRIDGE_COMPLETE=zsh_source webhook-bridge)"    (in ~/.zshrc)
  fish: _WEBHOOK_BRIDGE_COMPLETE=fish_source webhook-bridge | source
"""


COMMANDS = {
    "init": ("processes:init", "Make a folder in which the bridge can run."),
    "check": ("check:check", "Check definitions, settings, Conductor and database."),
    "new": ("new:new", "Create a webhook."),
    "webhooks": ("webhooks:webhooks", "List the webhooks with URL and status."),
    "pause": ("webhooks:pause", "Accept a webhook's deliveries, but decide nothing."),
    "resume": ("webhooks:resume", "Resume a paused webhook."),
    "events": ("events:events", "List, show, explain, follow and replay events."),
    "find": ("find:find_id", "Find what an id belongs to."),
    "tasks": ("tasks:tasks", "List waiting tasks, and why they wait."),
    "rejections": ("rejections:rejections", "List rejected deliveries with their reasons."),
    "send": ("send:send", "Post a delivery, signed as the platform would."),
    "callback": ("webhooks:callback", "Make a URL that completes one task."),
    "try": ("try_criteria:try_criteria", "Try criteria on a webhook's newest events."),
    "listen": ("listen:listen", "Fetch a public bridge's deliveries to this machine."),
    "schema": ("webhooks:schema", "Print the JSON Schema of the YAML, for editors."),
    "import": ("webhooks:import_", "Turn Orkes' webhook JSON into definitions."),
    "notify": ("maintenance:notify", "Send a test message to BRIDGE_NOTIFY."),
    "mcp": ("mcp:mcp", "Let a coding assistant look at this bridge."),
    "backup": ("maintenance:backup", "Copy the store to a file, while everything runs."),
    "prune": ("maintenance:prune", "Delete old finished events now."),
    "migrate-store": ("maintenance:migrate_store", "Move everything from one store to another."),
    "relay": ("processes:relay", "Run the relay, which receives deliveries."),
    "worker": ("processes:worker", "Run a worker, which completes tasks and starts workflows."),
    "admin": ("processes:admin", "Run the admin page and its API."),
    "run": ("processes:run", "Run relay, worker and admin page together."),
}


@click.group(cls=ImportedCommands, places=COMMANDS, context_settings=CONTEXT, epilog=EPILOG)
@server_options
@click.version_option(package_name="conductor-webhook-bridge", prog_name="webhook-bridge")
def main() -> None:
    """The Conductor Webhook Bridge: webhooks for Conductor OSS.

    The bridge verifies and stores what platforms post to it, completes the WAIT_FOR_WEBHOOK tasks
    that match, and starts workflows. These commands check its definitions, show what it received
    and what came of it, and let an admin act. They work whether or not the bridge is running.
    """
