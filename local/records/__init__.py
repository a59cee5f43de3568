"""What the local stack keeps of answers, and the commands that show it."""
