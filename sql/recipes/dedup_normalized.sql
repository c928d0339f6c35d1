-- Purpose:  one line of all those that say the same: case, accents, punctuation and white
--           space do not count. The first copy stays, as it was written.
-- In:       lines(id UBIGINT, line VARCHAR), two scans
-- Out:      id UBIGINT, line VARCHAR
-- Lines without a letter or digit all count as one. Groups are kept by SHA-256 of the
-- normalized text, which takes 64 bytes a group, however long the lines are.
WITH first_copies AS (
    SELECT min(id) AS id
    FROM lines
    GROUP BY sha256(
        trim(regexp_replace(lower(strip_accents(line)), '[^\p{L}\p{N}]+', ' ', 'g'))
    )
)
SELECT lines.id, lines.line
FROM lines
SEMI JOIN first_copies ON lines.id = first_copies.id
