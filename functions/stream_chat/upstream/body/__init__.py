"""The body of an answer: its content coding, what kind it is, and how it is read."""
