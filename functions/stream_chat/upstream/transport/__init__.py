"""An httpx transport that reads chunked bodies past h11."""
