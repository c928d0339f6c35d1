-- Purpose:    an expression as it is, to ask for its type.
-- Parameters: {expression} the user's
-- In:         lines(user's columns)
-- Out:        value of the expression's type
SELECT (
{expression}
) AS value FROM lines
