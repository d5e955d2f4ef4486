"""Configuration: settings from the environment, webhook definitions from YAML."""
