-- Purpose:    the value that keeps rows together, hashed.
-- Parameters: {expression} the user's; {seed} text
-- In:         lines(user's columns)
-- Out:        hash BLOB, the first 8 bytes of SHA-256 over the seed, 0x1F and the value
--             as text; NULL hashes the seed and 0x1E, so it is a value of its own
SELECT unhex(left(sha256({seed} || coalesce(chr(31) || value::VARCHAR, chr(30))), 16)) AS hash
FROM (SELECT (
{expression}
) AS value FROM lines)
