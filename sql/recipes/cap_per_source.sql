-- Purpose:  at most 1000 lines of each source, drawn without regard to their place.
-- In:       lines(id UBIGINT, source VARCHAR, line VARCHAR), two scans
-- Out:      id UBIGINT, source VARCHAR, line VARCHAR
-- A key of the id decides, so the same lines are drawn on every machine and in every
-- epoch, and random() has no part in it. To draw others, change 'draw 1'.
WITH drawn AS (
    SELECT source, list_max(min(shuffle_key('draw 1', id), 1000)) AS last
    FROM lines
    GROUP BY source
)
SELECT lines.id, lines.source, lines.line
FROM lines
JOIN drawn ON lines.source = drawn.source
WHERE shuffle_key('draw 1', lines.id) <= drawn.last
