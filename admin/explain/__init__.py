"""Why an event did or didn't match, from the event's side and from the task's.

Explanations go by the webhook as it is defined now, and follow the delivery rules in their order:
is the task in reach of the webhook, do its criteria hold, was it waiting at the right time, and who
took it. Only `explainer` reads the store; everything else is pure.
"""
