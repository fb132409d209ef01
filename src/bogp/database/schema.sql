-- A graph database: one plan, and its graphs in blocks of up to 1,024 of one sparsity.
-- The file's application_id and user_version (the schema's version) are set by files that bogp
-- writes; see connect.py. Every blob is an array, row-major and little-endian, with a row a graph.
-- Every row ends with the checksum of the rest of it, which is compared whenever it is read. Rows
-- are found by their numbers alone: there is no index that could lead past one.

-- What is to be built: one setting a row, as JSON. Two builds continue each other only where
-- every row is equal.
CREATE TABLE plan (
    name     TEXT PRIMARY KEY,
    value    TEXT NOT NULL,
    checksum TEXT NOT NULL
) WITHOUT ROWID;

-- How many blocks there are: its one row is written with them, so that none is lost unnoticed.
CREATE TABLE state (
    id       INTEGER PRIMARY KEY,
    blocks   INTEGER NOT NULL,
    checksum TEXT NOT NULL
);

-- Which graphs a block holds. What is in which block follows from the plan alone, so a block is
-- either whole or not there.
CREATE TABLE block (
    id       INTEGER PRIMARY KEY,
    sparsity REAL    NOT NULL,
    graphs   INTEGER NOT NULL,
    first    INTEGER NOT NULL,  -- its least graph id
    last     INTEGER NOT NULL,  -- its largest
    measured TEXT    NOT NULL,  -- a JSON array, the names of its measured values
    checksum TEXT    NOT NULL
);

-- The properties of each graph, apart from the rest so that all of them are read without it.
CREATE TABLE vector (
    block      INTEGER PRIMARY KEY,
    ids        BLOB,           -- int64, ascending; NULL where they run on without a gap
    properties BLOB NOT NULL,  -- float64 (graphs, names), names in the order of the plan
    checksum   TEXT NOT NULL
);

-- How graphs were made: the generator, the parameters that all graphs of this origin share, and
-- those that each graph has of its own.
CREATE TABLE origin (
    id         INTEGER PRIMARY KEY,
    family     TEXT NOT NULL,
    parameters TEXT NOT NULL,  -- a JSON object, name -> value
    own        TEXT NOT NULL,  -- a JSON object, name -> [type, column of graph.numbers]
    checksum   TEXT NOT NULL
);

-- How each graph was made.
CREATE TABLE graph (
    block    INTEGER PRIMARY KEY,
    seeds    BLOB NOT NULL,  -- uint64, 2^64 - 1 where not known
    edges    BLOB NOT NULL,  -- int32, undirected, self-loops not counted; -1 where not known
    origins  BLOB,           -- int32, ids of origin; NULL where all are 0
    numbers  BLOB,           -- float64 (graphs, columns), its own parameters; NULL without any
    checksum TEXT NOT NULL
);

-- What each graph is.
CREATE TABLE wiring (
    block     INTEGER PRIMARY KEY,
    adjacency BLOB,           -- RelationalGraph.packed() of each; NULL where not known
    masks     BLOB,           -- family random_mask: each mask's bits, row by row, packed
    checksum  TEXT NOT NULL
);

-- Numbers that somebody measured of the graphs' models, in an imported table.
CREATE TABLE measured (
    name     TEXT    NOT NULL,
    block    INTEGER NOT NULL,
    "values" BLOB    NOT NULL,  -- float64, NaN where not measured
    checksum TEXT    NOT NULL,
    PRIMARY KEY (name, block)
) WITHOUT ROWID;
