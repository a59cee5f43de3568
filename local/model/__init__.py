"""A scripted model for a stack without an API key."""
