"""Readers of environment variables, which each function's own settings use when it starts."""
