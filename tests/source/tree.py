"""What the source tests know of the tree: its floors, its files, and how to read C without its comments."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import SRC

# Which floors the files of a floor may include, besides their own.
BELOW = {
    "base": set(),
    "wire": {"base"},
    "core": {"base"},
    "world": {"base", "core"},
    "db": {"base", "world"},
    "store": {"base", "wire", "core", "world", "db"},
    "node": {"base", "wire", "core", "world", "db", "store"},
    "api": {"base", "wire", "core", "world", "db", "store", "node"},
    "real": {"base", "wire", "core", "world", "db", "store", "node", "api"},
    "sim": {"base", "wire", "core", "world", "db", "store", "node", "api"},
    "lib": set(),
}
LIBRARY = {"base", "wire", "core", "world", "db", "store", "node", "api", "real"}
BELOW["keeper"] = {"base"}
BELOW["skepd"] = BELOW["skep"] = BELOW["bench"] = LIBRARY


def tracked():
    """Paths of the tree, relative: what git knows and what it would add; without git, all but builds."""
    try:
        found = subprocess.run(["git", "-C", SRC, "ls-files", "-co", "--exclude-standard"], capture_output=True,
                               text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        found = []
        for folder, folders, names in os.walk(SRC):
            folders[:] = [f for f in folders if f not in (".git", "__pycache__") and not f.startswith("build")]
            found += [os.path.relpath(os.path.join(folder, name), SRC) for name in names]
    return sorted(path for path in set(found) if os.path.isfile(os.path.join(SRC, path)))


def c_files(*folders):
    return [path for path in tracked() if path.endswith((".c", ".h")) and path.startswith(tuple(folders))]


def read(path):
    with open(os.path.join(SRC, path), errors="replace") as f:
        return f.read()


def floor_of(path):
    """base for src/base/str.c; None outside src."""
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def without_comments(text):
    """C with its comments made blank, its strings kept, its line numbers as they were."""
    pattern = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)
    return pattern.sub(lambda m: m[0] if m[0][0] in "\"'" else re.sub(r"[^\n]", " ", m[0]), text)


def includes(path):
    """(line number, '"' or '<', what is included)"""
    for number, line in enumerate(without_comments(read(path)).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if match:
            yield number, match[1], match[2]
