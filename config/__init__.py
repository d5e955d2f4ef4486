"""What people configure: settings from the environment, webhook definitions from YAML."""
