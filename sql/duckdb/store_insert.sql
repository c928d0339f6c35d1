-- Purpose:    append the rows of one input
-- Parameters: $source text; {source} the name of that column
-- In:         feed(the columns of `lines` but the source), one scan
INSERT INTO dbshuf.main.lines BY NAME SELECT *, $source AS {source} FROM feed
