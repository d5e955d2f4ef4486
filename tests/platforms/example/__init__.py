"""A package of one platform that doesn't exist, added as docs/adding-a-platform.md says."""
