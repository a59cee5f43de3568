-- The archive as DuckDB's view `transcripts`, over a copy of it:
--
--   aws s3 sync "s3://$ARCHIVE_BUCKET/transcripts" transcripts
--   duckdb -init functions/archive_transcripts/duckdb_view.sql
--
-- The columns are named, not guessed: a guess looks at the first lines and fails at the first message whose content
-- is a list, where all before had a string. What is free in form is JSON, which takes whatever a line holds.
CREATE OR REPLACE VIEW transcripts AS
SELECT * FROM read_json(
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
