-- Purpose:    note one input, in the transaction that appends its rows
-- Parameters: the columns of `sources` but the time, by name
INSERT INTO sources (ordinal, source, path, table_name, size_bytes, changed_ns, digest, rows,
    text_bytes, longest_bytes, vector_bytes, ingested_at)
VALUES (:ordinal, :source, :path, :table_name, :size_bytes, :changed_ns, :digest, :rows,
    :text_bytes, :longest_bytes, :vector_bytes, strftime('%Y-%m-%d %H:%M:%f', 'now'))
