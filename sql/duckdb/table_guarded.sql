-- Purpose:    rows of a database file, with some columns looked at on the way.
-- Parameters: {rows} a SELECT, {columns} expressions in the place of some of its columns
-- Out:        the columns of {rows}
SELECT * REPLACE ({columns}) FROM (
{rows}
)
