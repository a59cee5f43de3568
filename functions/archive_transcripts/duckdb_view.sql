-- The archive as DuckDB's view `transcripts`, over a copy of it:
--
--   aws s3 sync "s3://$ARCHIVE_BUCKET/transcripts" transcripts
--   duckdb -init functions/archive_transcripts/duckdb_view.sql
--
-- The columns are named, not guessed: a guess looks at the first lines and fails at the first message whose content
-- is a list, where all before had a string. What is free in form is JSON, which takes whatever a line holds.
--
-- Chat completions and responses name their tokens differently: each count is a column here, whatever its name, and
-- NULL where the upstream has reported none.
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
    ) AS cached_tokens, -- of the prompt's
    coalesce(
        token_count(response, 'completion_tokens_details.reasoning_tokens'),
        token_count(response, 'output_tokens_details.reasoning_tokens')
    ) AS reasoning_tokens -- of the completion's
FROM read_json(
    'transcripts/**/*.jsonl',
    format = 'newline_delimited',
    columns = {
        schema_version: 'INTEGER', id: 'VARCHAR', outcome: 'VARCHAR', reason: 'VARCHAR', caller: 'VARCHAR',
        route: 'VARCHAR', request: 'JSON', response: 'JSON', timings: 'JSON', upstream: 'JSON'
    },
    hive_partitioning = true,
    hive_types = {date: 'DATE'},
    maximum_object_size = 67108864 -- bytes of a line: the default of 16 MiB is less than a transcript may have
);
