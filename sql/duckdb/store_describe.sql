-- Purpose:    note what a new store holds
-- Parameters: the columns of `store`, by name
INSERT INTO dbshuf.main.store BY NAME SELECT
    $format AS format, $order_version AS order_version, $kind AS kind,
    $is_binary AS is_binary, $terminator AS terminator, $header_lines AS header_lines,
    $header AS header, $id_column AS id_column, $source_column AS source_column,
    $row_group_rows AS row_group_rows, $arrow_schema AS arrow_schema,
    $json_structure AS json_structure
