-- Purpose:    a stretch of the rows of a store, in the order in which they lie there
-- Parameters: $first, $end UBIGINT, ids; {id} the name of that column; {columns}, it first
-- Out:        the columns
SELECT {columns} FROM dbshuf.main.lines WHERE {id} >= $first AND {id} < $end
