"""The Responses API: streamed events and complete responses."""
