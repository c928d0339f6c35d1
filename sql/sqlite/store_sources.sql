-- Purpose:    the inputs of a store
-- Out:        the columns of `sources` but the time, in the order of the ordinals
SELECT ordinal, source, path, table_name, size_bytes, changed_ns, digest, rows,
    text_bytes, longest_bytes, vector_bytes
FROM sources ORDER BY ordinal
