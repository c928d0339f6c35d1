-- Purpose:    --where over one chunk.
-- Parameters: {where} the user's condition; {row} the hidden column of row numbers
-- In:         lines(user's columns, {row} INTEGER)
-- Out:        {row} INTEGER of the rows that are kept, in the order of the chunk
-- A condition belongs after WHERE and not among the results: only there does
-- `a AND b` leave b alone for rows that fail a.
SELECT {row} FROM lines WHERE (
{where}
)
