"""Routes that need no caller key and no model."""
