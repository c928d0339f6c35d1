-- Purpose:    what a store holds
-- Out:        the columns of `store`
SELECT format, order_version, kind, is_binary, terminator, header_lines, header,
    id_column, source_column, row_group_rows, arrow_schema, json_structure
FROM store
