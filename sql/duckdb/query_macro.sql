-- Purpose:    dbshuf's order as functions of the user's SQL, as a store has them.
-- Parameters: {key} an expression over the words seed and id; {own} the same over id alone
-- Out:        shuffle_key(seed, id) and shuffle_key(id), the latter of the run's own seed
CREATE MACRO shuffle_key(seed, id) AS {key}, (id) AS {own}
