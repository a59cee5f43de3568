"""The Chat Completions API: chunks and whole completions."""
