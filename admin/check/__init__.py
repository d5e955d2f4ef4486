"""What is wrong right now, and what is risky: for the overview and for ``webhook-bridge check``."""
