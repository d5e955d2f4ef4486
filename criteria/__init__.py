"""When a payload matches: JSONPath, equality, operators, `matches` and conditions. Pure functions
of values."""
