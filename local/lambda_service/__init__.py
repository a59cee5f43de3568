"""The Lambda service: execution environments, the Runtime API, Invoke, SQS triggers."""
