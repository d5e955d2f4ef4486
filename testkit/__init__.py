"""What tests, demo and benchmarks share: Conductor servers, the bridge's processes, and a client of its own."""

PATIENCE = 120.0
"""Seconds for what must come. Only a failure lasts so long: on a machine that is busy anything may take its time."""
