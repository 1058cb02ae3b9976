"""What an ordinary Python program does to files; what it finds, as JSON."""

import hashlib
import json
import os
import shutil
import sys

root = sys.argv[1]
found = {}


def at(*names):
    return os.path.join(root, *names)


os.makedirs(at("a", "b", "c"))
os.makedirs(at("a", "b", "c"), exist_ok=True)
with open(at("a", "notes.txt"), "w", encoding="utf-8") as file:
    file.write("Grüße\n" * 1000)
with open(at("a", "notes.txt"), encoding="utf-8") as file:
    found["lines"] = len(file.readlines())

# The usual way to change a file so that nobody sees half of it.
with open(at("a", "notes.new"), "w") as file:
    file.write("replaced\n")
    file.flush()
    os.fsync(file.fileno())
os.replace(at("a", "notes.new"), at("a", "notes.txt"))
with open(at("a", "notes.txt")) as file:
    found["replaced"] = file.read()

with open(at("a", "data.bin"), "wb") as file:
    file.write(bytes(range(256)) * 4096)
with open(at("a", "data.bin"), "r+b") as file:
    file.seek(500_000)
    file.write(b"in the middle")
    file.seek(-4, os.SEEK_END)
    found["end"] = list(file.read())
    file.seek(500_003)
    found["middle"] = file.read(10).decode()
    file.truncate(600_000)
    found["tell"] = file.tell()
found["size"] = os.path.getsize(at("a", "data.bin"))
with open(at("a", "data.bin"), "rb") as file:
    found["sha256"] = hashlib.sha256(file.read()).hexdigest()
with open(at("a", "sparse"), "wb") as file:
    file.seek(1_000_000)
    file.write(b"!")
with open(at("a", "sparse"), "rb") as file:
    found["holes"] = file.read().count(0)
with open(at("log"), "a") as file:
    file.write("one\n")
with open(at("log"), "a") as file:
    found["append"] = file.write("two\n") and file.tell()

shutil.copytree(at("a"), at("copy"))
os.rename(at("copy", "b"), at("copy", "moved"))
shutil.rmtree(at("a", "b"))
found["walk"] = sorted(
    os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names
)
found["folders"] = sorted(entry.name for entry in os.scandir(at("copy")) if entry.is_dir())


def refused(name, what):
    try:
        what()
    except OSError as error:
        found[name] = type(error).__name__
    else:
        found[name] = "no error"


refused("absent", lambda: open(at("none")))
refused("exists", lambda: open(at("log"), "x"))
refused("is a directory", lambda: open(at("a")))
refused("not a directory", lambda: open(at("log", "below")))
refused("not empty", lambda: os.rmdir(at("copy")))
refused("outside", lambda: open(at("..", "..", "etc", "passwd")))
print(json.dumps(found))
