-- Purpose:  one line of a hundred, the same ones every time.
-- In:       lines(id UBIGINT, line VARCHAR), one scan
-- Out:      id UBIGINT, line VARCHAR
-- shuffle_key gives numbers below 2^64; 184467440737095516 is a hundredth of that. Its seed
-- is fixed here, so every --seed draws the same lines; to draw others, change 'sample 1'.
SELECT id, line
FROM lines
WHERE shuffle_key('sample 1', id) < 184467440737095516
