-- Purpose:    the first row whose value in one column has a certain type.
-- Parameters: {rows} a SELECT, {columns} names for its columns, {column} one of them, :type
-- Out:        row INTEGER, its number from 0
WITH found({columns}) AS (
{rows}
),
numbered AS (SELECT typeof({column}) AS type, row_number() OVER () - 1 AS row FROM found)
SELECT min(row) FROM numbered WHERE type = :type
