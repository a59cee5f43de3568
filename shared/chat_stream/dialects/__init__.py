"""The upstream's dialects: how each is read, assembled and written."""
