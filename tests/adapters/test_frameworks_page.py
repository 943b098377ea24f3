"""docs/frameworks.md is what the stored results say."""

from __future__ import annotations

from adapters.frameworks_page import EPOCHS, LENGTH, PAGE, render, stored

ORDER = EPOCHS * [*range(LENGTH)]
MEASURED = {"measured": "2020-01-01", "cores": 2, "load": 0.5, "versions": {"torch": "2.0"}}


def case(loader="own", *, kill=False, **found):
    return {"framework": "torch", "loader": loader, "kill": kill, **found}


def arrived(seen=ORDER, *, hooks=3):
    return {"seen": seen, "hooks": hooks, "shared": True, "beyond_step_ms": 1.25}


def row_of(*cases):
    page = render({**MEASURED, "cases": [*cases]}, [])
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


def test_a_training_that_failed_has_no_figures():
    assert row_of(case(error="E: no")) == (
        "| PyTorch | its own | failed: E: no |  |  | not tried |  |  |"
    )


def test_every_trainer_without_a_matrix_is_named_as_not_measured():
    assert "Not measured here: Keras, PyTorch," in render({**MEASURED, "cases": []}, [])


def test_stored_trainings_have_as_many_steps_as_the_page_says():
    measured, _ = stored()

    for each in measured["cases"]:
        assert "error" in each or len(each["seen"]) == EPOCHS * LENGTH
