-- Purpose:    open the file of a store as the database `dbshuf`
-- Parameters: {path} text; {mode} READ_ONLY, or ROW_GROUP_SIZE and the rows of a row group, and
--             STORAGE_VERSION for a new file
-- The type is named, or a path such as `sqlite:x` would call for an extension.
ATTACH {path} AS dbshuf (TYPE duckdb, {mode})
