"""Prints, as JSON, what a worker finds of what this script has set up. Argument: start method."""

from __future__ import annotations

import decimal
import io
import json
import locale
import logging
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import threading
import warnings

import borrowed  # a module beside this script
import numpy as np

from seqloader import OrderedEnqueuer, Sequence

sys.path.insert(0, os.path.join(sys.path[0], "first"))
import moved

USED = "before"
UNUSED = "set"
OPEN = tempfile.TemporaryFile()  # noqa: SIM115 - to be left open for workers to find


class Own:
    mark = "before"


class Probe(Sequence):
    def __init__(self, descriptor):
        self.attribute = "set"
        self.descriptor = descriptor

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return json.dumps(
            {
                "attributes of the Sequence": self.attribute == "set",
                "globals of the script that its code uses": USED == "after",
                "class attributes of classes in the script": Own.mark == "after",
                "other globals of the script": globals().get("UNU" + "SED") == "set",
                "changes made to imported modules": borrowed.value == "after",
                "environment variables": os.environ.get("SET_IN_PYTHON") == "yes",
                "working directory": os.getcwd() == self.attribute_folder,
                "umask": os.umask(0o022) == 0o071,
                "resource limits": resource.getrlimit(resource.RLIMIT_CORE)[0] == 0,
                "sys.path": "/no/such/folder" in sys.path,
                "sys.argv": sys.argv[-1] == "--added",
                "interpreter flags": sys.flags.optimize == 1 and "error::BytesWarning" in opened(),
                "logging configuration": logging.getLogger("probe").level == logging.DEBUG,
                "warnings filters": any(one[0] == "once" for one in warnings.filters),
                "numpy.seterr": np.geterr()["divide"] == "raise",
                "decimal context": decimal.getcontext().prec == 7,
                "where modules were imported from": moved.value == "first",
                "import hooks": "no_hook" in [one.__name__ for one in sys.path_hooks],
                "switch interval": sys.getswitchinterval() == 0.25,
                "locale that was set": locale.setlocale(locale.LC_COLLATE) != "C",
                "niceness": os.nice(0) == self.niceness,
                "key and start method of multiprocessing": kinship() == self.kinship,
                "recursion limit": sys.getrecursionlimit() == 4321,
                "signal handlers": callable(signal.getsignal(signal.SIGUSR1)),
                "ignored signals": signal.getsignal(signal.SIGHUP) == signal.SIG_IGN,
                "blocked signals": bool(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
                "threads": threading.active_count() > 1,
                "standard input": bool(sys.stdin.read()),
                "replaced sys.stdout": isinstance(sys.stdout, io.StringIO),
                "open files": is_open(self.descriptor),
            }
        )


def kinship():
    return bytes(multiprocessing.current_process().authkey), multiprocessing.get_start_method()


def no_hook(path):
    raise ImportError


def opened():
    return " ".join(sys.warnoptions)


def is_open(descriptor):
    try:
        os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError:
        return False
    return True


probe = Probe(os.dup(OPEN.fileno()) + 200)
os.dup2(OPEN.fileno(), probe.descriptor)
probe.attribute_folder = tempfile.gettempdir()
USED = "after"
Own.mark = "after"
borrowed.value = "after"
os.environ["SET_IN_PYTHON"] = "yes"
os.chdir(probe.attribute_folder)
os.umask(0o071)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sys.path[0] = sys.path[0].replace("first", "second")
sys.path.append("/no/such/folder")
sys.path_hooks.append(no_hook)
sys.setswitchinterval(0.25)
locale.setlocale(locale.LC_COLLATE, "C.UTF-8")
probe.niceness = os.nice(1)
multiprocessing.set_start_method("spawn")
probe.kinship = kinship()
sys.argv.append("--added")
logging.getLogger("probe").setLevel(logging.DEBUG)
warnings.simplefilter("once")
np.seterr(divide="raise")
decimal.getcontext().prec = 7
sys.setrecursionlimit(4321)
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
threading.Thread(target=threading.Event().wait, daemon=True).start()
screen, sys.stdout = sys.stdout, io.StringIO()
with OrderedEnqueuer(probe, workers=1, start_method=sys.argv[1]) as enqueuer:
    found = next(iter(enqueuer))
print(found, file=screen)
