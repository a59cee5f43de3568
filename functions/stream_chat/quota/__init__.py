"""How much a caller has left: requests per minute and tokens per day."""
