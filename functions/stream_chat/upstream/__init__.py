"""The only way to the model: its client, exchanges, retries, failures and key."""
