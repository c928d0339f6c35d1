-- Purpose:    the sort key of a row, order version 1, as one expression: the twin of
--             dbshuf/base/key.py for a SELECT that has a column `id`
-- Parameters: :s1, :s2 INTEGER, the words of the seed (SHA-256, see key.seed_words), signed
-- In:         id INTEGER
-- Out:        INTEGER, the key with its top bit flipped, so that it ascends as the unsigned key
-- INTEGER is signed, and `+` and `*` that overflow silently turn REAL. So a product is taken of
-- halves of 32 bits with quarters of 16, and `<<` cuts to 64 bits; `>>` copies the sign, which the
-- mask removes. There is no XOR: a ^ b = (a | b) & ~(a & b). `OFFSET 0` keeps SQLite from writing
-- every step into the next one as often as that names it.
(WITH
    row_0(x) AS (SELECT id LIMIT -1 OFFSET 0),
    half_0(l, h) AS (SELECT x & 0xFFFFFFFF, x >> 32 & 0xFFFFFFFF FROM row_0 LIMIT -1 OFFSET 0),
    low_0(l, h, low) AS (SELECT l, h, l * 31765 + ((l * 32586 & 0xFFFF) << 16) + (:s1 & 0xFFFFFFFF)
        FROM half_0 LIMIT -1 OFFSET 0),
    product_0(x) AS (SELECT low & 0xFFFFFFFF | ((low >> 32) + (:s1 >> 32) + (l * 32586 >> 16)
        + h * 31765 + ((h * 32586 & 0xFFFF) << 16) + l * 31161 + ((l * 40503 & 0xFFFF) << 16) << 32)
        FROM low_0 LIMIT -1 OFFSET 0),
    shifted_1(x, y) AS (SELECT x, x >> 30 & 0x3FFFFFFFF FROM product_0 LIMIT -1 OFFSET 0),
    mixed_1(x) AS (SELECT (x | y) & ~(x & y) FROM shifted_1 LIMIT -1 OFFSET 0),
    half_1(l, h) AS (SELECT x & 0xFFFFFFFF, x >> 32 & 0xFFFFFFFF FROM mixed_1 LIMIT -1 OFFSET 0),
    low_1(l, h, low) AS (SELECT l, h, l * 58809 + ((l * 7396 & 0xFFFF) << 16)
        FROM half_1 LIMIT -1 OFFSET 0),
    product_1(x) AS (SELECT low & 0xFFFFFFFF | ((low >> 32) + (l * 7396 >> 16)
        + h * 58809 + ((h * 7396 & 0xFFFF) << 16) + l * 18285 + ((l * 48984 & 0xFFFF) << 16) << 32)
        FROM low_1 LIMIT -1 OFFSET 0),
    shifted_2(x, y) AS (SELECT x, x >> 27 & 0x1FFFFFFFFF FROM product_1 LIMIT -1 OFFSET 0),
    mixed_2(x) AS (SELECT (x | y) & ~(x & y) FROM shifted_2 LIMIT -1 OFFSET 0),
    half_2(l, h) AS (SELECT x & 0xFFFFFFFF, x >> 32 & 0xFFFFFFFF FROM mixed_2 LIMIT -1 OFFSET 0),
    low_2(l, h, low) AS (SELECT l, h, l * 4587 + ((l * 4913 & 0xFFFF) << 16)
        FROM half_2 LIMIT -1 OFFSET 0),
    product_2(x) AS (SELECT low & 0xFFFFFFFF | ((low >> 32) + (l * 4913 >> 16)
        + h * 4587 + ((h * 4913 & 0xFFFF) << 16) + l * 18875 + ((l * 38096 & 0xFFFF) << 16) << 32)
        FROM low_2 LIMIT -1 OFFSET 0),
    shifted_3(x, y) AS (SELECT x, x >> 31 & 0x1FFFFFFFF FROM product_2 LIMIT -1 OFFSET 0),
    mixed_3(x) AS (SELECT (x | y) & ~(x & y) FROM shifted_3 LIMIT -1 OFFSET 0),
    seeded(x) AS (SELECT (x | :s2) & ~(x & :s2) FROM mixed_3 LIMIT -1 OFFSET 0),
    shifted_4(x, y) AS (SELECT x, x >> 30 & 0x3FFFFFFFF FROM seeded LIMIT -1 OFFSET 0),
    mixed_4(x) AS (SELECT (x | y) & ~(x & y) FROM shifted_4 LIMIT -1 OFFSET 0),
    half_4(l, h) AS (SELECT x & 0xFFFFFFFF, x >> 32 & 0xFFFFFFFF FROM mixed_4 LIMIT -1 OFFSET 0),
    low_4(l, h, low) AS (SELECT l, h, l * 58809 + ((l * 7396 & 0xFFFF) << 16)
        FROM half_4 LIMIT -1 OFFSET 0),
    product_4(x) AS (SELECT low & 0xFFFFFFFF | ((low >> 32) + (l * 7396 >> 16)
        + h * 58809 + ((h * 7396 & 0xFFFF) << 16) + l * 18285 + ((l * 48984 & 0xFFFF) << 16) << 32)
        FROM low_4 LIMIT -1 OFFSET 0),
    shifted_5(x, y) AS (SELECT x, x >> 27 & 0x1FFFFFFFFF FROM product_4 LIMIT -1 OFFSET 0),
    mixed_5(x) AS (SELECT (x | y) & ~(x & y) FROM shifted_5 LIMIT -1 OFFSET 0),
    half_5(l, h) AS (SELECT x & 0xFFFFFFFF, x >> 32 & 0xFFFFFFFF FROM mixed_5 LIMIT -1 OFFSET 0),
    low_5(l, h, low) AS (SELECT l, h, l * 4587 + ((l * 4913 & 0xFFFF) << 16)
        FROM half_5 LIMIT -1 OFFSET 0),
    product_5(x) AS (SELECT low & 0xFFFFFFFF | ((low >> 32) + (l * 4913 >> 16)
        + h * 4587 + ((h * 4913 & 0xFFFF) << 16) + l * 18875 + ((l * 38096 & 0xFFFF) << 16) << 32)
        FROM low_5 LIMIT -1 OFFSET 0),
    shifted_6(x, y) AS (SELECT x, x >> 31 & 0x1FFFFFFFF FROM product_5 LIMIT -1 OFFSET 0),
    mixed_6(x) AS (SELECT (x | y) & ~(x & y) FROM shifted_6 LIMIT -1 OFFSET 0)
SELECT (x | (1 << 63)) & ~(x & (1 << 63)) FROM mixed_6)
