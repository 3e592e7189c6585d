"""Test scripts in Python: each @test function is one test, its result one TAP line.

    from tap import main, skip, test

    @test
    def two_and_two_are_four():
        assert 2 + 2 == 4

    main()

A failed assertion or any other exception fails the test, and its story follows as comment lines.
"""
import os
import sys
import time
import traceback

SRC = os.environ.get("SKEP_SRC") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("SKEP_BIN") or os.path.join(SRC, "build", "bin")
BUILD = os.path.dirname(BIN)
QUICK = bool(os.environ.get("SKEP_QUICK"))
SOAK_S = int(os.environ.get("SKEP_SOAK_S") or 0)

_tests = []


class Skip(Exception):
    pass


def skip(why):
    """Ends the test as skipped, with the reason."""
    raise Skip(why)


def test(function):
    """Registers a test. Its name is its docstring's first line, or that of the function in words."""
    _tests.append(function)
    return function


def until(condition, timeout_s=10, what="the condition", every_s=0.02):
    """Waits until condition() is true and returns what it gave; fails after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "%s did not come true within %g s" % (what, timeout_s)
        time.sleep(every_s)


def name_of(function):
    return (function.__doc__ or function.__name__.replace("_", " ")).strip().splitlines()[0]


def run_one(function):
    """Runs a test: (passed, what follows its name, its story)."""
    try:
        function()
        return True, "", ""
    except Skip as why:
        return True, " # SKIP %s" % why, ""
    except AssertionError as failed:
        return False, "", "".join("%s:%d: in %s: %s\n" % (os.path.relpath(f.filename, SRC), f.lineno, f.name, f.line)
                                  for f in traceback.extract_tb(failed.__traceback__)[1:]) + str(failed)
    except Exception:
        return False, "", traceback.format_exc()


def main():
    """Runs what is registered (of it only what argv names) and ends the program."""
    wanted = [f for f in _tests if not sys.argv[1:] or f.__name__ in sys.argv[1:]]
    failed = 0
    print("1..%d" % len(wanted), flush=True)
    for number, function in enumerate(wanted, 1):
        passed, note, story = run_one(function)
        print("%sok %d - %s%s" % ("" if passed else "not ", number, name_of(function), note))
        for line in story.splitlines():
            print("# " + line)
        sys.stdout.flush()
        failed += not passed
    sys.exit(1 if failed else 0)
