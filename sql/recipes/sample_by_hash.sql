-- Purpose:  one line of a hundred, the same ones every time.
-- In:       lines(id UBIGINT, line VARCHAR), one scan
-- Out:      id UBIGINT, line VARCHAR
-- To draw others, change 'sample 1'.
SELECT id, line
FROM lines
WHERE (md5_number('sample 1' || id) & 4294967295)::BIGINT % 100 = 0
