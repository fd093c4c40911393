-- Tables of inputs of which some rows were neither taken, nor known from elsewhere, nor empty, nor rejected.
SELECT input, input_table, total, taken, repeated, empty, rejected
FROM legacy_imports
WHERE total <> taken + repeated + empty + rejected OR taken < 0 OR repeated < 0
