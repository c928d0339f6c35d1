-- Purpose:    a statement as text again, from DuckDB's own parse of it; nothing is bound or run.
-- Parameters: $tree VARCHAR, as query_parse.sql gives it
-- Out:        text VARCHAR
SELECT json_deserialize_sql($tree::JSON) AS text
