"""The API dialects of upstreams: decoding, assembling and writing their streams."""
