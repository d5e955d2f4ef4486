"""Only import-linter needs rich; structlog and httpx would load it at the start of each of the
bridge's processes."""

raise ImportError("left out, as where the bridge is installed")
