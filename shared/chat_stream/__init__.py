"""Parses streamed chat answers into events and transcripts. No I/O; standard library only."""
