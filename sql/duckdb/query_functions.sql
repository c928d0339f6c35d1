-- Purpose:    what DuckDB knows of its functions.
-- Out:        name VARCHAR (lower case), kind VARCHAR (scalar, aggregate, macro, ...),
--             stability VARCHAR or NULL, types VARCHAR[] of the arguments and the result,
--             is_open BOOLEAN (takes any number of arguments), definition VARCHAR or NULL
--             (of a macro)
SELECT DISTINCT
    lower(function_name) AS name,
    function_type AS kind,
    stability,
    list_append(parameter_types, return_type) AS types,
    varargs IS NOT NULL AS is_open,
    macro_definition AS definition
FROM duckdb_functions()
