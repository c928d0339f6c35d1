-- Purpose:    note what a new store holds
-- Parameters: the columns of `store`, by name
INSERT INTO store (format, order_version, kind, is_binary, terminator, header_lines, header,
    id_column, source_column, row_group_rows, arrow_schema, json_structure)
VALUES (:format, :order_version, :kind, :is_binary, :terminator, :header_lines, :header,
    :id_column, :source_column, :row_group_rows, :arrow_schema, :json_structure)
