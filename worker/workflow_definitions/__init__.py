"""Whether the webhooks fit the workflows that are registered in Conductor: said before an event needs it."""
