"""Turns an HTTP event into a ChatRequest, and refuses what a caller may not ask for (400)."""
