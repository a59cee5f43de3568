"""AWS beside Lambda: moto's server, and folders that mirror it."""
