-- Every line as it is: what the engine costs where it has nothing to decide.
-- Out: id UBIGINT, line VARCHAR.
select id, line from lines
