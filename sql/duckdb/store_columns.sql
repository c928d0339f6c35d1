-- Purpose:    note how the columns are to be written, now that another input has its say
-- Parameters: $arrow_schema
UPDATE dbshuf.main.store SET arrow_schema = $arrow_schema
