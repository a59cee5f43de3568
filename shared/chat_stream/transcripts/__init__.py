"""Transcripts: what was asked and answered, and how consumers read it."""
