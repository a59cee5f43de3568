"""The function URL: HTTP in, invocations out."""
