"""Why an event did or didn't match, from the event's side and from the task's. Pure: records in, findings out.

It speaks of the webhook as it is defined now. What it says of a task follows the delivery rules in their order: is
the task in reach of the webhook, do its criteria hold, was it waiting at the right time, and who took it.
"""
