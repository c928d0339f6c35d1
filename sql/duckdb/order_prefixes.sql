-- Purpose:    the rows of a bucket in the order of their prefixes and then keys; as order_keys.sql.
-- In:         bucket(prefix UBIGINT, key UBIGINT, row UINTEGER), one scan, keys without ties
-- Out:        row UINTEGER, as (prefix, key) ascends
PREPARE order_keys AS SELECT row FROM bucket ORDER BY prefix, key
