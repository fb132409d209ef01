-- A graph database: one plan, and one row a graph in each of two tables.
-- The file's application_id and user_version (the schema's version) are set by files that bogp
-- writes; see connect.py.

-- What is to be built: one setting a row, as JSON. Two builds continue each other only where
-- every row is equal.
CREATE TABLE plan (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- How each graph was made and what it is. id = (index of the sparsity in the plan) * graphs + k.
CREATE TABLE graph (
    id         INTEGER PRIMARY KEY,
    sparsity   REAL    NOT NULL,
    family     TEXT    NOT NULL,  -- the generator
    parameters TEXT    NOT NULL,  -- its parameters, a JSON object
    seed       INTEGER NOT NULL,
    edges      INTEGER NOT NULL,  -- undirected, self-loops not counted
    adjacency  BLOB    NOT NULL,  -- RelationalGraph.packed()
    mask       BLOB               -- family random_mask: the mask's bits, row by row, packed
);

-- The properties of each graph, apart from the rest so that all of them are read without it:
-- little-endian float64 in the order of the names in the plan.
CREATE TABLE vector (
    id         INTEGER PRIMARY KEY REFERENCES graph (id),
    properties BLOB NOT NULL
);
