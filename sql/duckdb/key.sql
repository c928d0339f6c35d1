-- Purpose:    the sort key of a row, order version 1: the SQL twin of dbshuf/key.py.
-- Parameters: $s1, $s2 UBIGINT, the words of the seed (SHA-256, see key.seed_words)
-- In:         rows(id UBIGINT)
-- Out:        id UBIGINT, key UBIGINT; a bijection of id
-- UBIGINT arithmetic throws on overflow, so products are taken in UHUGEINT and cut
-- back to 64 bits; `&` is 240 times faster than `% 2^64`.
WITH
    step_0 AS (SELECT id, ((id::UHUGEINT * 11400714819323198485::UHUGEINT + $s1::UHUGEINT) & 18446744073709551615::UHUGEINT)::UBIGINT AS x FROM rows),
    step_1 AS (SELECT id, ((xor(x, x >> 30)::UHUGEINT * 13787848793156543929::UHUGEINT) & 18446744073709551615::UHUGEINT)::UBIGINT AS x FROM step_0),
    step_2 AS (SELECT id, ((xor(x, x >> 27)::UHUGEINT * 10723151780598845931::UHUGEINT) & 18446744073709551615::UHUGEINT)::UBIGINT AS x FROM step_1),
    step_3 AS (SELECT id, xor(xor(x, x >> 31), $s2::UBIGINT) AS x FROM step_2),
    step_4 AS (SELECT id, ((xor(x, x >> 30)::UHUGEINT * 13787848793156543929::UHUGEINT) & 18446744073709551615::UHUGEINT)::UBIGINT AS x FROM step_3),
    step_5 AS (SELECT id, ((xor(x, x >> 27)::UHUGEINT * 10723151780598845931::UHUGEINT) & 18446744073709551615::UHUGEINT)::UBIGINT AS x FROM step_4)
SELECT id, xor(x, x >> 31) AS key FROM step_5
