-- Purpose:    the relation `lines` that the user's SQL sees.
-- Parameters: {columns} of it, {feed} the relation with those that are read
-- In:         the feed's columns
-- Out:        view lines
CREATE OR REPLACE TEMP VIEW lines AS SELECT {columns} FROM {feed}
