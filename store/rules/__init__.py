"""What relay, worker and admin must agree on: pure functions of values, which every store calls."""
