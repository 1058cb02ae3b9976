"""What a program is refused, by the name of the errno that it gets: `/data` and `/more` are its own within a quota, `/in` is only
read, and there is nothing else."""

import errno
import json
import os
import shutil
import sqlite3

found = {}


def refused(name, what):
    try:
        what()
    except OSError as error:
        found[name] = errno.errorcode[error.errno]
    else:
        found[name] = "done"


def put(path, size=1):
    with open(path, "wb", buffering=0) as file:
        if (written := file.write(bytes(size))) != size:
            raise OSError(errno.EIO, f"{written} of {size}")


refused("no mount, read", lambda: open("/etc/passwd"))
refused("no mount, list", lambda: os.listdir("/secret"))
refused("no mount, write", lambda: put("/secret/new"))
refused("out of the mount", lambda: open("/data/../secret/file"))
os.mkdir("/data/d")
refused("a link out of the mount", lambda: os.symlink("/secret/file", "/data/absolute"))
os.symlink("../../secret/file", "/data/d/link")
refused("through a link out of the mount", lambda: open("/data/d/link"))
os.remove("/data/d/link")

found["read only, read"] = open("/in/there").read()
refused("read only, new", lambda: put("/in/new"))
refused("read only, change", lambda: open("/in/there", "r+"))
refused("read only, append", lambda: open("/in/there", "a"))
refused("read only, remove", lambda: os.remove("/in/there"))
refused("read only, rename", lambda: os.replace("/in/there", "/in/other"))
refused("read only, folder", lambda: os.mkdir("/in/d"))

put("/data/a", 1000)
refused("another mount, rename", lambda: os.rename("/data/a", "/more/a"))
shutil.move("/data/a", "/more/a")
found["another mount, move"] = [os.path.exists("/data/a"), os.path.getsize("/more/a")]

# A million bytes, of which a file has 600,000 at most, and six names, of which one is taken.
put("/data/one", 500_000)
refused("a file that is too large", lambda: put("/data/two", 600_001))
refused("bytes that are too many", lambda: put("/data/two", 500_001))
refused("as many as there may be", lambda: put("/data/two", 500_000))
refused("one more byte", lambda: put("/data/d/three"))
found["what is there"] = [os.path.getsize(f"/data/{name}") for name in ("one", "two", "d/three")]
for name in ("one", "two", "d/three"):
    os.remove(f"/data/{name}")
for name in range(5):
    put(f"/data/d/{name}")
refused("a name that is too many", lambda: put("/data/d/last"))
refused("a folder that is too many", lambda: os.mkdir("/data/d/last"))
shutil.rmtree("/data/d")

# A database that fills its mount: the transaction is lost, and nothing that was committed.
database = sqlite3.connect("/data/shop.sqlite", isolation_level=None)
database.execute("CREATE TABLE rows (bytes BLOB NOT NULL)")
committed = 0
try:
    while committed < 1000:
        database.execute("BEGIN")
        database.executemany("INSERT INTO rows VALUES (zeroblob(10000))", [()] * 10)
        database.execute("COMMIT")
        committed += 10
except sqlite3.OperationalError as error:
    found["a database, full"] = str(error)
    if database.in_transaction:
        database.execute("ROLLBACK")
rows = database.execute("SELECT count(*) FROM rows").fetchone()[0]
found["a database, rows"] = [rows == committed, 10 <= committed < 60]
found["a database, integrity"] = database.execute("PRAGMA integrity_check").fetchone()[0]
database.execute("DELETE FROM rows")
database.execute("INSERT INTO rows VALUES (zeroblob(10000))")
database.close()
print(json.dumps(found))
