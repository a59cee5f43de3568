"""How much a caller has left: requests per minute, tokens per day, money per day and month."""
