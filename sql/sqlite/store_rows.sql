-- Purpose:    a stretch of the rows of a store, in the order of their ids
-- Parameters: :first, :last INTEGER, ids; {id} the name of that column; {columns}, it first
-- Out:        the columns
SELECT {columns} FROM lines WHERE {id} BETWEEN :first AND :last ORDER BY {id}
