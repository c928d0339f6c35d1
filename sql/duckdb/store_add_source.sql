-- Purpose:    note one input, in the transaction that appends its rows
-- Parameters: the columns of `sources` but the time, by name
INSERT INTO dbshuf.main.sources BY NAME SELECT
    $ordinal AS ordinal, $source AS source, $path AS path, $table_name AS table_name,
    $size_bytes AS size_bytes, $changed_ns AS changed_ns, $digest AS digest, $rows AS rows,
    $text_bytes AS text_bytes, $longest_bytes AS longest_bytes,
    $vector_bytes AS vector_bytes, make_timestamp(epoch_us(now())) AS ingested_at
