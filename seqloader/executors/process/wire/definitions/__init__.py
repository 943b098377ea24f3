"""Functions and classes by value: on their way to a worker, and rebuilt there.

What a script, a notebook cell or a function defines cannot be imported by a worker: the user's
`__main__` is not run again. It travels as what it *is* at that moment, and is put together in the
worker without running any code of the user's.

Rules
    R1  A class is rebuilt from its own `__dict__`: every name in it arrives, and no other.
        Nothing runs for it again: not the metaclass's `__new__`, `__init_subclass__`,
        `__set_name__`.
    R2  What has an identity (a class, a function of the script, a cached function, an enum's
        member) is numbered, and is one object in each process, over all states that are sent.
    R3  Functions of the script share one namespace in the worker: the `__dict__` of its
        `__main__`. Who is found by its name in the script is found there by that name.
    R4  Functions of installed libraries that are no attribute of their module (what a decorator
        returns) have that module's namespace; those of other modules get copies of what they use.
    R5  Cells are shared as they are here: what two closures share, they share there.

    script.py         the module that is run, and its names
    numbers.py        one object in each process
    builtin.py        what of a class is made in C
    modules.py        which modules a worker can import
    names.py          which names code uses
    scope.py          what a worker finds by itself, and which global variables come along
    functions.py      functions, code, cells
    members.py        members of enums
    registrations.py  reductions, and classes registered with abstract ones
    classes.py        classes
    kinds.py          what else Python pickles by name: cached functions, NewType, ufuncs, ...
    pickler.py        the pickler that joins them, for what travels to a worker and back

Only `scope` and `pickler` are for the side that sends alone: what rebuilds is imported by a worker.

Not here: what of it a state holds (consumer/sending.py); what the Sequence does not reach but code
finds by its name in `__main__` (consumer/names.py, worker/script.py).
"""
