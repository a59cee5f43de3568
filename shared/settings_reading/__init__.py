"""Reading settings: what every function does with its environment variables at start."""
