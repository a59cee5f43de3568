"""Parses streamed chat answers into events and transcripts. No I/O; standard library only.

Bracketed names in this package are the threads in which a provider's oddity was seen.
"""
