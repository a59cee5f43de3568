"""`make doctor`: asks the upstream whether it does what the streaming function needs."""
