"""The processes and servers that the stack starts and ends."""
