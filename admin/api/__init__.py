"""The JSON of API and command line: its objects, and their OpenAPI description."""
