"""Which models a caller may use: the upstream's list, limited by the settings."""
