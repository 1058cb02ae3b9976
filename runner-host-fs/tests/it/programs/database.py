"""A database on the mount: `make` fills it, `crash` dies in the middle of a transaction, `check` looks at what is there."""

import json
import os
import sqlite3
import sys

root, what = sys.argv[1:3]
ROWS = 100_000
database = sqlite3.connect(os.path.join(root, "shop.sqlite"), isolation_level=None)
# So few pages that a transaction of this size writes to the file before it commits.
database.execute("PRAGMA cache_size = 50")


def one(statement):
    return database.execute(statement).fetchone()[0]


if what == "make":
    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL, cents INTEGER NOT NULL)")
    for first in range(0, ROWS, 20_000):
        database.execute("BEGIN")
        rows = ((id, f"item {id % 977}", id % 1000) for id in range(first, first + 20_000))
        database.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        database.execute("COMMIT")
    database.execute("CREATE INDEX by_item ON orders (item)")
    database.execute("BEGIN")
    database.execute("UPDATE orders SET cents = 0")
    database.execute("ROLLBACK")
elif what == "crash":
    database.execute("BEGIN")
    database.execute("UPDATE orders SET cents = cents + 1, item = item || ' changed'")
    size = os.path.getsize(os.path.join(root, "shop.sqlite"))
    journal = os.path.getsize(os.path.join(root, "shop.sqlite-journal"))
    print(json.dumps({"journal": journal > 0}), flush=True)
    os.abort()

found = {
    "rows": one("SELECT count(*) FROM orders"),
    "cents": one("SELECT sum(cents) FROM orders"),
    "by item": one("SELECT count(*) FROM orders WHERE item = 'item 7'"),
    "integrity": one("PRAGMA integrity_check"),
}
database.close()
found["files"] = sorted(os.listdir(root))
print(json.dumps(found))
