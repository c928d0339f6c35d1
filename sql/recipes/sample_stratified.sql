-- Purpose:  at most 1000 texts of each language of JSON lines, drawn at random.
-- In:       lines(id UBIGINT, line VARCHAR), one scan; each line an object with the keys
--           text and lang; those without lang are one group
-- Out:      id UBIGINT, text VARCHAR, lang VARCHAR
-- The seed of the run draws them: the same --seed, the same texts on every machine. Of
-- Parquet, name the columns instead.
WITH fields AS (
    SELECT id, line ->> '$.text' AS text, line ->> '$.lang' AS lang
    FROM lines
)
SELECT id, text, lang
FROM fields
QUALIFY row_number() OVER (PARTITION BY lang ORDER BY shuffle_key(id)) <= 1000
