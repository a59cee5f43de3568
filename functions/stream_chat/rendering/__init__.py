"""From events to the caller's bytes: one renderer for each format."""
