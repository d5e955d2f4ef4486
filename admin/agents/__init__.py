"""The bridge for coding assistants, by the Model Context Protocol: ``webhook-bridge mcp``."""
