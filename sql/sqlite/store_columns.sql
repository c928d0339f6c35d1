-- Purpose:    note how the columns are to be written, now that another input has its say
-- Parameters: :arrow_schema
UPDATE store SET arrow_schema = :arrow_schema
