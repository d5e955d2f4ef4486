"""What tests, demo and benchmarks share: Conductor servers, the bridge's processes, and a separate client."""

PATIENCE = 120.0
"""Seconds to wait for anything that must happen. Only a failure takes this long: on a busy machine anything may be
slow."""
