-- Purpose:  the texts of JSON lines in one language, of a certain length.
-- In:       lines(id UBIGINT, line VARCHAR), one scan; each line an object with the keys
--           text and lang; what has no such key, or null there, is left out
-- Out:      id UBIGINT, text VARCHAR, lang VARCHAR
-- A line that is no JSON is an error, not left out.
WITH fields AS (
    SELECT id, line ->> '$.text' AS text, line ->> '$.lang' AS lang
    FROM lines
)
SELECT id, text, lang
FROM fields
WHERE lang IN ('en', 'en-GB', 'en-US')
    AND length(text) >= 20
