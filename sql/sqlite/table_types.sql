-- Purpose:    which types the values of each column have: SQLite keeps one with every value.
-- Parameters: {rows} a SELECT, {columns} names for its columns, {types} an expression over
--             each of them, as table_type.sql has it
-- Out:        rows INTEGER, then a column for each
WITH found({columns}) AS (
{rows}
)
SELECT count(*), {types} FROM found
