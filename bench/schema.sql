-- What a measured app syncs. The driver pushes to `items`; the others make an app of the usual size.
CREATE TABLE items (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    ratio REAL,
    done BOOLEAN NOT NULL
);
CREATE TABLE items_2 (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    ratio REAL,
    done BOOLEAN NOT NULL
);
CREATE TABLE items_3 (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    ratio REAL,
    done BOOLEAN NOT NULL
);
CREATE TABLE items_4 (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    ratio REAL,
    done BOOLEAN NOT NULL
);
CREATE TABLE items_5 (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    ratio REAL,
    done BOOLEAN NOT NULL
);
CREATE TABLE items_6 (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    ratio REAL,
    done BOOLEAN NOT NULL
);
CREATE TABLE items_7 (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    ratio REAL,
    done BOOLEAN NOT NULL
);
CREATE TABLE items_8 (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    ratio REAL,
    done BOOLEAN NOT NULL
);
CREATE TABLE items_9 (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    ratio REAL,
    done BOOLEAN NOT NULL
);
CREATE TABLE items_10 (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    amount INTEGER NOT NULL,
    ratio REAL,
    done BOOLEAN NOT NULL
);
