"""The function URL: turns HTTP requests into invocations."""
