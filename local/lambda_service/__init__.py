"""Lambda's service side: environments, the Runtime API, Invoke, SQS triggers."""
