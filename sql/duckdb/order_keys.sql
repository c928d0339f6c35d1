-- Purpose:    the rows of a bucket in the order of their keys, prepared once a worker.
-- In:         bucket(key UBIGINT, row UINTEGER), one scan, keys without ties
-- Out:        row UINTEGER, as its key ascends
PREPARE order_keys AS SELECT row FROM bucket ORDER BY key
