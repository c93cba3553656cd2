"""Locks that forks wait for: in their order, whichever module came first, and those that come while a fork waits."""

from __future__ import annotations

import multiprocessing

import pytest

from support.processes import python

pytestmark = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")

# A child that finds all locks free, and a parent that is not kept waiting for ever.
_FORK = """
import faulthandler, os, sys, threading, time, warnings
warnings.simplefilter("ignore")
faulthandler.dump_traceback_later(60, exit=True)
from hear_edgel3 import _forks

def fork(*locks):
    child = os.fork()
    if not child:
        # RLocks that another thread of the parent held would be nobody's here.
        os._exit(sum(not lock.acquire(timeout=5) for lock in locks))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def run(code: str) -> None:
    done = python(_FORK + code)
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr


def test_a_thread_that_holds_an_outer_lock_gets_the_inner_ones() -> None:
    """Though the inner one's module was imported later, so that its handler alone would run first."""
    run("""
from hear_edgel3.engine import runner
from hear_edgel3.compiled import jit
from hear_edgel3.engine.kernels import threads

held = threading.Event()
def compiles():
    with runner._COMPILING:
        held.set()
        time.sleep(0.5)  # the fork has begun
        with threads.BUILDING, jit.global_compiler_lock:
            time.sleep(0.1)

thread = threading.Thread(target=compiles)
thread.start()
held.wait()
print(fork(runner._COMPILING, threads.BUILDING, jit.global_compiler_lock._lock))
thread.join()
""")


@pytest.mark.parametrize("place", ["COMPILING", "NUMBA"])
def test_a_lock_that_comes_while_a_fork_waits(place: str) -> None:
    """Of a module that another thread imports meanwhile; it is taken, too, and given back once."""
    run(f"""
outer, inner, held = threading.RLock(), threading.RLock(), threading.Event()
_forks.wait_for(outer, _forks.BUILDING)

def uses():
    with inner:
        time.sleep(0.5)

def imports():
    with outer:
        held.set()
        time.sleep(0.3)  # the fork has begun
        other = threading.Thread(target=uses)
        other.start()
        time.sleep(0.1)
        _forks.wait_for(inner, _forks.{place})

thread = threading.Thread(target=imports)
thread.start()
held.wait()
print(fork(outer, inner))
thread.join()
""")


def test_forks_of_several_threads_at_once_and_of_a_holder() -> None:
    run("""
lock = threading.RLock()
_forks.wait_for(lock, _forks.COMPILING)
codes = []
def forks():
    for _ in range(10):
        with lock:
            codes.append(fork(lock))
        codes.append(fork(lock))

threads = [threading.Thread(target=forks) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(codes) == 80
assert lock.acquire(timeout=5)
print(sum(codes))
""")


def test_what_was_taken_is_given_back_though_waiting_was_interrupted() -> None:
    """As by Ctrl-C: what a handler raises is not raised by the fork, which goes on."""
    run("""
class Interrupted:
    def acquire(self): raise KeyboardInterrupt
    def release(self): print("released what was not taken")

sys.unraisablehook = lambda raised: None
outer, inner = threading.RLock(), threading.RLock()
for place, lock in enumerate((outer, Interrupted(), inner)):
    _forks.wait_for(lock, place)
code = fork(outer, inner)
free = []
thread = threading.Thread(target=lambda: free.extend(lock.acquire(timeout=5) for lock in (outer, inner)))
thread.start()
thread.join()
print(code + 2 - sum(free))
""")
