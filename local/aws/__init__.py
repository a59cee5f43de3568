"""The AWS services other than Lambda: moto's server, and folders with its contents."""
