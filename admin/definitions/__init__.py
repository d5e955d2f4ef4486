"""Definitions as people type them: forms, the YAML that is written, and its JSON Schema."""
