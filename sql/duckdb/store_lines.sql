-- Purpose:    a stretch of the lines of a store, in the order in which they lie there
-- Parameters: $first, $end UBIGINT, ids; $terminator, of the type of `line`
-- Out:        id UBIGINT, line with its terminator
SELECT id, line || $terminator FROM dbshuf.main.lines WHERE id >= $first AND id < $end
