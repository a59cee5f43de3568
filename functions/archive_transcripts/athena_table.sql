CREATE EXTERNAL TABLE transcripts (
    schema_version int, id string, outcome string, reason string, caller string, route string,
    request struct<model:string, messages:string, parameters:string>,
    response struct<
        id:string, model:string, usage:string, service_tier:string,
        error:struct<message:string, type:string, param:string, code:string>,
        choices:array<struct<
            index:int, content:string, refusal:string, reasoning:string, audio_transcript:string,
            tool_calls:array<struct<id:string, name:string, arguments:string>>, finish_reason:string,
            inferred_finish_reason:string>>>,
    cost struct<usd:double, priced_as:string>,
    timings struct<started_at:string, time_to_first_token_ms:bigint, duration_ms:bigint, delta_count:bigint>,
    upstream struct<attempts:int, request_id:string>
)
PARTITIONED BY (`date` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' WITH SERDEPROPERTIES ('case.insensitive' = 'FALSE')
LOCATION 's3://ARCHIVE_BUCKET/transcripts/'
TBLPROPERTIES (
    'projection.enabled' = 'true', 'projection.date.type' = 'date', 'projection.date.format' = 'yyyy-MM-dd',
    'projection.date.range' = '2026-01-01,NOW', 'projection.date.interval' = '1',
    'projection.date.interval.unit' = 'DAYS',
    'storage.location.template' = 's3://ARCHIVE_BUCKET/transcripts/date=${date}/'
)
