"""What relay and worker share: events, payloads, matches and the store."""
