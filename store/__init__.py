"""What relay and worker agree on: events, payloads, matches and the store."""
