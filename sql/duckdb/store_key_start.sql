-- Purpose:    the first step of the sort key, see key.sql
-- Parameters: {word} the first word of the seed
((id::UBIGINT::UHUGEINT * 11400714819323198485::UHUGEINT + {word}::UHUGEINT) & 18446744073709551615::UHUGEINT)::UBIGINT
