-- Purpose:    what DuckDB knows of its functions.
-- Out:        name VARCHAR (lower case), kind VARCHAR (scalar, aggregate, macro, ...),
--             stability VARCHAR or NULL, definition VARCHAR or NULL (of a macro)
SELECT DISTINCT
    lower(function_name) AS name,
    function_type AS kind,
    stability,
    macro_definition AS definition
FROM duckdb_functions()
