-- The DuckDB view `transcripts` over a local copy of the archive:
--
--   aws s3 sync "s3://$ARCHIVE_BUCKET/transcripts" transcripts
--   duckdb -init functions/archive_transcripts/duckdb_view.sql
--
-- The columns are declared, because DuckDB would infer their types from the first lines and fail at the first message
-- whose content is a list if it was a string in all lines before. Fields of free form are JSON, which accepts any value.
--
-- Chat completions and responses name their token counts differently. Each count is one column here, NULL if the
-- upstream reported none.
CREATE OR REPLACE MACRO token_count(response, path) AS try_cast(response ->> ('$.usage.' || path) AS BIGINT);
CREATE OR REPLACE VIEW transcripts AS
SELECT
    *,
    coalesce(token_count(response, 'prompt_tokens'), token_count(response, 'input_tokens')) AS prompt_tokens,
    coalesce(token_count(response, 'completion_tokens'), token_count(response, 'output_tokens')) AS completion_tokens,
    coalesce(token_count(response, 'total_tokens'), prompt_tokens + completion_tokens) AS total_tokens,
    coalesce(
        token_count(response, 'prompt_tokens_details.cached_tokens'),
        token_count(response, 'input_tokens_details.cached_tokens'),
        token_count(response, 'prompt_cache_hit_tokens') -- DeepSeek's name
    ) AS cached_tokens, -- part of prompt_tokens
    coalesce(
        token_count(response, 'completion_tokens_details.reasoning_tokens'),
        token_count(response, 'output_tokens_details.reasoning_tokens')
    ) AS reasoning_tokens, -- part of completion_tokens
    try_cast(cost ->> '$.usd' AS DOUBLE) AS cost_usd -- NULL if the cost is not known
FROM read_json(
    'transcripts/**/*.jsonl',
    format = 'newline_delimited',
    columns = {
        schema_version: 'INTEGER', id: 'VARCHAR', outcome: 'VARCHAR', reason: 'VARCHAR', caller: 'VARCHAR',
        route: 'VARCHAR', request: 'JSON', response: 'JSON', cost: 'JSON', timings: 'JSON', upstream: 'JSON'
    },
    hive_partitioning = true,
    hive_types = {date: 'DATE'},
    maximum_object_size = 67108864 -- bytes in a line: a transcript may exceed the default of 16 MiB
);
