-- Purpose:    `lines` without some columns, to be put where a query names it.
-- Parameters: {columns} that are left out
-- Out:        the other columns of lines
FROM (SELECT * EXCLUDE ({columns}) FROM lines) AS lines
