-- Purpose:    a copy of what is read, for SQL that reads it more than once.
-- In:         chunk(the columns that are read), one scan
-- Out:        table copied, the same
CREATE TABLE copied AS SELECT * FROM chunk
