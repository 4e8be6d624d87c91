"""The error tree is part of the interface."""

import pickle

import pytest

from panelcal import errors

EXIT_CODES = {
    errors.PanelcalError: 1,
    errors.InvalidInputError: 2,
    errors.NotFoundError: 3,
    errors.NoValidConstantsError: 3,
    errors.ConflictError: 4,
    errors.FindingsError: 4,
    errors.IntegrityError: 5,
    errors.SchemaError: 6,
}


def test_exit_codes_are_those_of_the_contract() -> None:
    found = {
        value: value.exit_code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.PanelcalError)
    }
    assert found == EXIT_CODES


@pytest.mark.parametrize(
    ("error", "builtin"),
    [(errors.InvalidInputError, ValueError), (errors.NotFoundError, LookupError)],
)
def test_errors_are_also_what_python_calls_them(
    error: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(error, builtin)


@pytest.mark.parametrize("error", EXIT_CODES)
def test_errors_survive_pickling(error: type[errors.PanelcalError]) -> None:
    made = error("what was found", "what to do")
    copy = pickle.loads(pickle.dumps(made))
    assert (type(copy), str(copy), copy.hint) == (error, "what was found", "what to do")


def test_findings_survive_pickling() -> None:
    made = errors.FindingsError("bad", None, [("median", 41.5)])
    assert pickle.loads(pickle.dumps(made)).findings == (("median", 41.5),)


def test_missing_panels_survive_pickling() -> None:
    made = errors.NoValidConstantsError("none", None, ["1-2-3"])
    assert pickle.loads(pickle.dumps(made)).missing == ("1-2-3",)
