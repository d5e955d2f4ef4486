"""Definitions as people edit them: the form, the YAML that is written, and its JSON Schema."""
