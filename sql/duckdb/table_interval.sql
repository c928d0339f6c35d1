-- Purpose:    a column of intervals whose hours Arrow can hold: it counts nanoseconds in 64 bits,
--             and DuckDB microseconds, of which it makes others there without a word.
-- Parameters: {column} its name, quoted
-- Out:        the column; fails for more than 2,562,046 hours
CASE
    WHEN abs(datepart('hour', {column})) > 2562046
    THEN error('an interval of more than 2562046 hours, which Arrow does not hold')
    ELSE {column}
END AS {column}
