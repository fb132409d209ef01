-- A graph database: one plan, and its graphs in blocks of up to 1,024 of one sparsity.
-- The file's application_id and user_version (the schema's version) are set by files that bogp
-- writes; see connect.py. Every blob is an array, row-major and little-endian, with a row a graph.

-- What is to be built: one setting a row, as JSON. Two builds continue each other only where
-- every row is equal.
CREATE TABLE plan (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Which graphs a block holds, in ascending order of their ids. What is in which block follows
-- from the plan alone, so a block is either whole or not there.
CREATE TABLE block (
    id       INTEGER PRIMARY KEY,
    sparsity REAL    NOT NULL,
    graphs   INTEGER NOT NULL,
    first    INTEGER NOT NULL,  -- its least graph id
    last     INTEGER NOT NULL,  -- its largest
    ids      BLOB               -- int64; NULL where they run from first to last without a gap
);
CREATE INDEX block_first ON block (first);

-- The properties of each graph, apart from the rest so that all of them are read without it.
CREATE TABLE vector (
    block      INTEGER PRIMARY KEY REFERENCES block (id),
    properties BLOB NOT NULL  -- float64 (graphs, names), names in the order of the plan
);

-- How graphs were made: the generator, the parameters that all graphs of this origin share, and
-- those that each graph has of its own.
CREATE TABLE origin (
    id         INTEGER PRIMARY KEY,
    family     TEXT NOT NULL,
    parameters TEXT NOT NULL,  -- a JSON object, name -> value
    own        TEXT NOT NULL   -- a JSON object, name -> [type, column of graph.numbers]
);

-- How each graph was made and what it is.
CREATE TABLE graph (
    block     INTEGER PRIMARY KEY REFERENCES block (id),
    seeds     BLOB NOT NULL,  -- uint64, 2^64 - 1 where not known
    edges     BLOB NOT NULL,  -- int32, undirected, self-loops not counted; -1 where not known
    origins   BLOB,           -- int32, ids of origin; NULL where all are 0
    numbers   BLOB,           -- float64 (graphs, columns), its own parameters; NULL without any
    adjacency BLOB,           -- RelationalGraph.packed() of each; NULL where not known
    masks     BLOB            -- family random_mask: each mask's bits, row by row, packed
);

-- Numbers that somebody measured of the graphs' models, in an imported table.
CREATE TABLE measured (
    name   TEXT    NOT NULL,
    block  INTEGER NOT NULL REFERENCES block (id),
    "values" BLOB  NOT NULL,  -- float64, NaN where not measured
    PRIMARY KEY (name, block)
);
