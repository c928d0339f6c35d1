-- Purpose:    a query as DuckDB binds it, before any optimizer, as JSON; it is not run.
-- Parameters: $text VARCHAR, one SELECT
-- Out:        plan VARCHAR; an object with `error` true or the plans, in which every function
--             has its name and the types of the arguments of the overload that bound
SELECT
    json_serialize_plan($text::VARCHAR, skip_null := true, skip_empty := true, optimize := false)
    ::VARCHAR AS plan
