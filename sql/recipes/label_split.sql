-- Purpose:  label every line as training or validation data, 98 to 2.
-- In:       lines(id UBIGINT, line VARCHAR), one scan
-- Out:      id UBIGINT, line VARCHAR, split VARCHAR ('train' or 'validation')
-- A hash of the text decides: a line keeps its label when inputs are added, and equal
-- lines get the same one, so none of the validation data is trained on.
SELECT
    id,
    line,
    CASE
        WHEN (md5_number(line) & 4294967295)::BIGINT % 100 < 98 THEN 'train'
        ELSE 'validation'
    END AS split
FROM lines
