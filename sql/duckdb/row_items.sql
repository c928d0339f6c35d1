-- Purpose:    some items of a --select, without the others.
-- Parameters: {items} names of some, {query} the --select in its place, {names} of all items
-- In:         lines(user's columns)
-- Out:        the items, a row for every row of lines
SELECT {items}
FROM (
{query}
) AS selected({names})
