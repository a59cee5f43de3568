"""Who is calling: keys, tokens of an identity provider, AWS signatures. Others get 401 or 403."""
