"""Turns events and errors into the caller's bytes: one renderer for each format."""
