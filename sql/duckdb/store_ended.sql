-- Purpose:    ordered lines with what ends a line
-- Parameters: {rows} a SELECT with {key} and line; $terminator, of the type of `line`
-- Out:        {key} UBIGINT, line
SELECT {key}, line || $terminator AS line FROM (
{rows}
)
