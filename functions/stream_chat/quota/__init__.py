"""The limits of each caller: requests per minute, tokens per day, money per day and month. Over one: 429."""
