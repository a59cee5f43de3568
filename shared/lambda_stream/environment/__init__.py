"""What Lambda's environment variables ask of a runtime: log format, SnapStart, several processes."""
