-- Purpose:  exactly 1000 lines, or all if there are fewer, each as likely as any other.
-- In:       lines(id UBIGINT, line VARCHAR), one scan
-- Out:      id UBIGINT, line VARCHAR
-- The seed of the run draws them: the same --seed, the same lines on every machine.
SELECT id, line
FROM lines
ORDER BY shuffle_key(id)
LIMIT 1000
