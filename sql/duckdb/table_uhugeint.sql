-- Purpose:    a column of UHUGEINT whose values Arrow can hold: its 128 bits have a sign, so that
--             2^128 - 1 would be -1 there.
-- Parameters: {column} its name, quoted
-- Out:        the column; fails from 2^127 on
CASE
    WHEN {column} > 170141183460469231731687303715884105727
    THEN error('an integer of 2^127 or more, which Arrow does not hold')
    ELSE {column}
END AS {column}
