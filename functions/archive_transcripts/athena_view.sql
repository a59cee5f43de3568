-- The token counts and the cost of each transcript, whatever the upstream's API calls them; NULL if the upstream reported none.
-- Needs the table of athena_table.sql in the same database.
CREATE OR REPLACE VIEW transcript_tokens AS
SELECT
    id, "date", outcome, caller, route, response.model AS model, prompt_tokens, completion_tokens,
    coalesce(total_tokens, prompt_tokens + completion_tokens) AS total_tokens, cached_tokens, reasoning_tokens,
    cost.usd AS cost_usd
FROM (
    SELECT
        *,
        coalesce(
            try_cast(json_extract_scalar(response.usage, '$.prompt_tokens') AS bigint),
            try_cast(json_extract_scalar(response.usage, '$.input_tokens') AS bigint)
        ) AS prompt_tokens,
        coalesce(
            try_cast(json_extract_scalar(response.usage, '$.completion_tokens') AS bigint),
            try_cast(json_extract_scalar(response.usage, '$.output_tokens') AS bigint)
        ) AS completion_tokens,
        try_cast(json_extract_scalar(response.usage, '$.total_tokens') AS bigint) AS total_tokens,
        coalesce(
            try_cast(json_extract_scalar(response.usage, '$.prompt_tokens_details.cached_tokens') AS bigint),
            try_cast(json_extract_scalar(response.usage, '$.input_tokens_details.cached_tokens') AS bigint),
            try_cast(json_extract_scalar(response.usage, '$.prompt_cache_hit_tokens') AS bigint)
        ) AS cached_tokens,
        coalesce(
            try_cast(json_extract_scalar(response.usage, '$.completion_tokens_details.reasoning_tokens') AS bigint),
            try_cast(json_extract_scalar(response.usage, '$.output_tokens_details.reasoning_tokens') AS bigint)
        ) AS reasoning_tokens
    FROM transcripts
)
