-- Purpose:  every different line once, at the place of its first copy.
-- In:       lines(id UBIGINT, line VARCHAR), one scan
-- Out:      id UBIGINT, the first that the line has; line VARCHAR
-- Lines that differ in one byte, a trailing blank or a CR, are different.
SELECT min(id) AS id, line
FROM lines
GROUP BY line
