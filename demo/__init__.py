"""Development only, not shipped: a Conductor server, the bridge's processes, and the played example."""
