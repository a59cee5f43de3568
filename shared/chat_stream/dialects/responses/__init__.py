"""The Responses API: streamed events and whole responses."""
