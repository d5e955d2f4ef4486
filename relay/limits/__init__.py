"""What strangers may cost, and how their addresses tell them apart."""
