"""What tests, demo and benchmarks share: Conductor servers, the bridge's processes, and a client of its own."""
