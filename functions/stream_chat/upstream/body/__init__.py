"""The body of an upstream's response: its content coding, its kind and how it is read."""
