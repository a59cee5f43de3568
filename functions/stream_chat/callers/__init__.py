"""Who is calling: keys, tokens of an identity provider, AWS signatures."""
