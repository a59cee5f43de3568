"""From an HTTP event to a ChatRequest: what a caller may ask."""
