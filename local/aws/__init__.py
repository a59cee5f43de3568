"""The AWS services other than Lambda: moto's server, and folders with what it holds."""
