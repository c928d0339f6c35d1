-- Purpose:    the weight of each row of a chunk.
-- Parameters: {expression} the user's, of a numeric type
-- In:         lines(user's columns)
-- Out:        weight DOUBLE
SELECT value::DOUBLE AS weight
FROM (SELECT (
{expression}
) AS value FROM lines)
