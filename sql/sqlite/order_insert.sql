-- Purpose:    add rows to the table of one range of the key
-- Parameters: {table} its name; {rows} places for key and row, as (?, ?), as often as there are rows
INSERT INTO {table} (key, row) VALUES {rows}
