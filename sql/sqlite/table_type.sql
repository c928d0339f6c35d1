-- Purpose:    the types of a column's values, as a sum: 1 integer, 2 real, 4 text, 8 blob.
-- Parameters: {column} its name
max(typeof({column}) = 'integer')
+ 2 * max(typeof({column}) = 'real')
+ 4 * max(typeof({column}) = 'text')
+ 8 * max(typeof({column}) = 'blob')
