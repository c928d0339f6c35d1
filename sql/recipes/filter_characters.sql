-- Purpose:  drop lines that are short, long, or hardly prose: few letters, many digits,
--           one character over and over.
-- In:       lines(id UBIGINT, line VARCHAR), one scan
-- Out:      id UBIGINT, line VARCHAR
-- Lengths count characters, not bytes. Letters are those of any script.
WITH counted AS (
    SELECT
        id,
        line,
        length(line) AS characters,
        length(regexp_replace(line, '[^\p{L}\p{M}]+', '', 'g')) AS letters,
        length(regexp_replace(line, '[^\p{N}]+', '', 'g')) AS digits
    FROM lines
)
SELECT id, line
FROM counted
WHERE characters BETWEEN 20 AND 10000
    AND letters >= 0.6 * characters
    AND digits <= 0.2 * characters
    AND len(list_distinct(string_split(line, ''))) >= 8
