"""Server-sent events, chat events and transcripts: bytes in, values out. No I/O, standard library only."""
