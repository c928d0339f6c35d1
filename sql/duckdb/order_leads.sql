-- Purpose:    the rows of a bucket in the order of their leads and then keys; as order_keys.sql.
-- In:         bucket(lead UBIGINT, key UBIGINT, row UINTEGER), one scan, keys without ties
-- Out:        row UINTEGER, as (lead, key) ascends
PREPARE order_keys AS SELECT row FROM bucket ORDER BY lead, key
