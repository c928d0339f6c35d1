-- Purpose:    --select over one chunk.
-- Parameters: {select} the user's list
-- In:         lines(user's columns)
-- Out:        the user's columns, a row for every row of the chunk, in its order
SELECT {select}
FROM lines
