-- Purpose:    the different shapes of the JSON objects of a chunk, one a line.
-- Parameters: {look} a pattern of numbers that a double or 64 bits may not hold, and of
--             flaws that DuckDB takes for JSON; {row} the column of row numbers, {keys} of
--             counts
-- In:         chunk(line VARCHAR, {keys} BIGINT, how many keys it may have, {row} INTEGER)
-- Out:        {row} INTEGER ascending, the first of its shape; is_text BOOLEAN; shape
--             VARCHAR: what json_structure says of the object, or, where `look` is in it or
--             it is deeper than json_structure goes (128 levels in DuckDB 2.0.0), the line
--             itself; {keys} BIGINT, the most of its lines; lines of white space are left out
SELECT
    min({row}) AS {row},
    structure IS NULL AS is_text,
    CASE
        WHEN NOT (starts_with(line, '{') OR starts_with(ltrim(line, E' \t\r\n'), '{'))
        THEN error('the line holds no JSON object')
        WHEN structure IS NOT NULL THEN structure
        WHEN json_valid(line) THEN line
        ELSE json_structure(line)::VARCHAR
    END AS shape,
    max({keys}) AS {keys}
FROM (
    SELECT
        line,
        {keys},
        {row},
        CASE WHEN NOT regexp_matches(line, {look}) THEN try(json_structure(line))::VARCHAR END
            AS structure
    FROM chunk
    WHERE starts_with(line, '{') OR ltrim(line, E' \t\r\n') <> ''
)
GROUP BY ALL
ORDER BY {row}
