"""What an answer costs, from its usage and a list of prices."""
