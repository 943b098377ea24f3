"""Tuning: `workers="auto"` and `max_queue_size="auto"`.

    tuner    the shell: asked by the consumer for each batch, looks now and then, and acts
    rule     pure: what one interval showed -> another size, or none, with the reason
    facts    what the rule is told, and what follows from it by arithmetic alone. Pure
    budget   memory, shared with the other enqueuers of this user that are "auto"
    log      what was decided, when and why

`docs/architecture/tuning.md` tells how it goes together.
"""
