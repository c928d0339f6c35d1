-- Purpose:    COLUMNS('pattern') as a choice among names, to be put where a query has it.
-- Out:        the columns whose names the pattern matches
SELECT COLUMNS(list_filter(*, LAMBDA dbshuf_name: regexp_matches(dbshuf_name, 'pattern')))
FROM lines
