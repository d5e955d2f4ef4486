"""Notices that workflows have ended for whose result senders wait (`respond: {wait: …}`), and records the answers."""
