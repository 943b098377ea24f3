"""What connects an enqueuer to the trainers of a framework: one file each.

    owner.py        the enqueuer that an adapter has, made for it or before
    passes.py       one pass of a trainer over it
    prefetch.py     the same, with batches taken ahead and prepared
    device/         the way of batches to a GPU
    frameworks.py   importing a framework, or saying what to install

Importing seqloader imports none of them.
"""
