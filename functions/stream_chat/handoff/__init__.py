"""Hands a finished transcript to the companion function, after the response has ended."""
