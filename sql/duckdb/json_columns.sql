-- Purpose:    the types of the columns of JSON objects.
-- Parameters: {structure} as from_json takes it
-- Out:        value STRUCT, no rows
SELECT from_json('{}', {structure}) AS value LIMIT 0
