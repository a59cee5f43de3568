"""`make probe`: asks a deployed or local relay, and says for each promise whether it is kept there."""
