-- Purpose:    DuckDB's own parse of a text, as JSON; nothing is bound or run.
-- Parameters: $text VARCHAR, one or more statements
-- Out:        tree VARCHAR; an object with `error` true or the statements
SELECT json_serialize_sql($text::VARCHAR, skip_null := true, skip_empty := true)::VARCHAR AS tree
