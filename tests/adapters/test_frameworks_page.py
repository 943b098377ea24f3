"""docs/frameworks.md is what the stored results say."""

from __future__ import annotations

from itertools import chain

from adapters.frameworks_page import EPOCHS, LENGTH, PAGE, render, stored

ORDER = EPOCHS * [*range(LENGTH)]
MEASURED = {"measured": "2020-01-01", "cores": 2, "versions": {"torch": "2.0"}}


def case(loader="own", *, kill=False, processes=1, **found):
    which = {"framework": "torch", "loader": loader, "kill": kill, "processes": processes}
    return {**which, "load": 0.5, **found}


def trial(**found):
    which = {"trainer": "torch", "loader": "own", "before": 1, "after": 1, "signal": ""}
    counts = {"points": 40, "lost": 0, "doubled": 0, "for_nothing": 0, "failed": 0}
    return {**which, "short": False, **counts, **found}


def arrived(seen=ORDER, *, hooks=3):
    return {"seen": seen, "hooks": hooks, "shared": True, "beyond_step_ms": 1.25}


def row_of(*cases, matrix=()):
    page = render({**MEASURED, "cases": [*cases]}, [*matrix], [])
    return next(line for line in page.splitlines() if line.startswith("| PyTorch"))


def test_page_is_what_the_script_makes_of_the_stored_results():
    assert PAGE.read_text(encoding="utf-8") == render(*stored())


def test_a_batch_that_came_twice_is_neither_in_order_nor_exactly_once():
    row = row_of(case(**arrived([0, 0, *ORDER[2:]])))

    assert row.startswith("| PyTorch | its own | no | 22 of 24 | 3 in 3 epochs |")


def test_what_a_killed_worker_did_is_told_from_its_own_training():
    whole = case(**arrived())

    assert "| goes on |" in row_of(whole, case(kill=True, **arrived()))
    assert "| hangs: no end |" in row_of(whole, case(kill=True, error="hangs: no end"))
    assert "| ends: `E: died` |" in row_of(whole, case(kill=True, error="E: died"))


def test_two_processes_together_are_told_by_what_each_was_given():
    halves = [[0, 2, 4, 6] * EPOCHS, [1, 3, 5, 7] * EPOCHS]
    whole = case(**arrived())

    assert "| 24 of 24, 12 + 12 steps |" in row_of(whole, case(processes=2, seen=halves))
    assert "| 0 of 24, 24 + 24 steps |" in row_of(whole, case(processes=2, seen=[ORDER, ORDER]))
    assert "| failed: E: no |" in row_of(whole, case(processes=2, error="E: no"))


def test_a_resume_is_exact_where_nothing_went_wrong_on_one_process():
    whole = case(**arrived())
    others = [trial(lost=1, after=2), trial(lost=2, signal="KILL"), trial(lost=3, short=True)]

    assert "| not measured |" in row_of(whole, matrix=others)
    assert "| exact |" in row_of(whole, matrix=[*others, trial()])
    assert "| 4 lost, 5 doubled |" in row_of(whole, matrix=[trial(lost=4, doubled=5)])


def test_what_an_adapter_adds_is_the_difference_of_two_medians():
    cost = {"adapter": "jax", "load": 0.5, "through": [50.2, 40, 30], "bare": [10, 20, 29.9]}

    page = render({**MEASURED, "cases": []}, [], [cost])

    assert "| JAX | 40 (30 to 50) | 20 (10 to 30) | 20 |" in page


def test_a_training_that_failed_has_no_figures():
    assert row_of(case(error="E: no")) == (
        "| PyTorch | its own | failed: E: no |  |  | not measured | not tried |  |  |  |"
    )


def test_every_trainer_without_a_matrix_is_named_as_not_measured():
    assert "Not measured here: Keras, PyTorch," in render({**MEASURED, "cases": []}, [], [])


def test_stored_trainings_have_as_many_steps_as_the_page_says():
    measured, _, _ = stored()

    for each in measured["cases"]:
        if "error" not in each:
            seen = each["seen"] if each["processes"] == 1 else [*chain(*each["seen"])]
            assert len(seen) == EPOCHS * LENGTH
