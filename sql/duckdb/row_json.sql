-- Purpose:    JSON objects, one a line, as a struct.
-- Parameters: {structure} the types, as from_json takes them; {row} the column of row numbers
-- In:         chunk(line VARCHAR, {row} INTEGER)
-- Out:        {row} INTEGER, value STRUCT; lines of JSON's white space alone hold no row
SELECT
    {row},
    CASE
        WHEN starts_with(line, '{') OR starts_with(ltrim(line, E' \t\r\n'), '{')
        THEN from_json(line, {structure})
        ELSE error('the line holds no JSON object')
    END AS value
FROM chunk
WHERE starts_with(line, '{') OR ltrim(line, E' \t\r\n') <> ''
