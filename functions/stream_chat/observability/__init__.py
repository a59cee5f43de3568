"""What each request leaves for operators: a log record and, if METRICS asks for them, metrics."""
