"""A database on the mount: `make` fills it, `crash` dies in the middle of a transaction, `recover` looks after it,
`check` at what is there, and `add` counts up."""

import json
import os
import sqlite3
import sys

root, what = sys.argv[1:3]
ROWS = 100_000
path = os.path.join(root, "shop.sqlite")
# This build locks by a folder beside the file, and takes its own lock for somebody else's when it looks whether there is a
# journal to be played back, on any engine: who recovers opens without locks.
uri = f"file:{path}" + ("?vfs=unix-none" if what == "recover" else "")
# Who finds it locked waits, where somebody will unlock it.
timeout = 60 if what == "add" else 0
database = sqlite3.connect(uri, isolation_level=None, timeout=timeout, uri=True)
# So few pages that a transaction of this size writes to the file before it commits.
database.execute("PRAGMA cache_size = 50")
# This build of SQLite traps where it makes a temporary file, on any engine.
database.execute("PRAGMA temp_store = MEMORY")


def one(statement):
    return database.execute(statement).fetchone()[0]


if what == "make":
    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL, cents INTEGER NOT NULL)")
    for first in range(0, ROWS + 20_000, 20_000):
        database.execute("BEGIN")
        rows = ((id, f"item {id % 977}", id % 1000) for id in range(first, first + 20_000))
        database.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        database.execute("COMMIT")
    database.execute("CREATE INDEX by_item ON orders (item)")
    database.execute("BEGIN")
    database.execute("UPDATE orders SET cents = 0")
    database.execute("ROLLBACK")
    # As those do who keep a database small: a new file, put in the place of the old one.
    database.execute("DELETE FROM orders WHERE id >= ?", (ROWS,))
    new = os.path.join(root, "shop.new")
    database.execute("VACUUM INTO ?", (new,))
    database.close()
    os.replace(new, path)
    database = sqlite3.connect(path, isolation_level=None)
elif what == "add":
    database.execute("BEGIN IMMEDIATE")
    database.execute("CREATE TABLE IF NOT EXISTS counts (count INTEGER NOT NULL)")
    database.execute("INSERT INTO counts SELECT count(*) + 1 FROM counts")
    database.execute("COMMIT")
    print(one("SELECT max(count) FROM counts"))
    sys.exit()
elif what == "crash":
    database.execute("BEGIN")
    database.execute("UPDATE orders SET cents = cents + 1, item = item || ' changed'")
    journal = os.path.getsize(path + "-journal")
    print(json.dumps({"journal": journal > 0}), flush=True)
    os.abort()

found = {
    "rows": one("SELECT count(*) FROM orders"),
    "cents": one("SELECT sum(cents) FROM orders"),
    "by item": one("SELECT count(*) FROM orders WHERE item = 'item 7'"),
    "integrity": one("PRAGMA integrity_check"),
}
database.close()
if what == "recover":
    os.rmdir(path + ".lock")
found["files"] = sorted(os.listdir(root))
print(json.dumps(found))
