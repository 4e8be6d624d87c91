"""One target under atheris: what it imports of panelcal is instrumented for coverage."""

import sys

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["panelcal"]):
    from fuzz.targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
