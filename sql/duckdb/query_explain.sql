-- Purpose:    the plan of a query, as JSON; binds it, so that its errors show.
-- Parameters: {query} a SELECT
-- Out:        two columns VARCHAR; the second is the plan
EXPLAIN (FORMAT JSON) {query}
