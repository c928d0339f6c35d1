-- Purpose:    dbshuf's order as a function of the user's SQL, where there is no seed of a run.
-- Parameters: {key} an expression over the words seed and id
-- Out:        shuffle_key(seed, id)
CREATE MACRO shuffle_key(seed, id) AS {key}
