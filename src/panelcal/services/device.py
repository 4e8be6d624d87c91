"""The device of a run's source, which names the detector type of its constants."""

from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.kinds import DetectorType
from panelcal.domain.runs import Run
from panelcal.errors import InvalidInputError
from panelcal.services.export import Answer


def require_device(answer: Answer, types: DetectorTypes) -> DetectorType:
    """Return the detector type of a run's device, whose group of the calib layout is its own.

    Raises
    ------
    InvalidInputError
        The finder maps the source to no group (spec §8), or the constants are of
        another type than the device.
    """
    detector_type = require_known_device(answer.run, types)
    if detector_type.name != answer.resolution.detector_type:
        msg = (
            f"{answer.run.source} is of detector type {detector_type.name}, what it resolves to "
            f"is of {answer.resolution.detector_type}"
        )
        hint = "panelcal run add --supersede corrects the detector id or the modules of the run"
        raise InvalidInputError(msg, hint)
    return detector_type


def require_known_device(run: Run, types: DetectorTypes) -> DetectorType:
    """Return the detector type of a run's device.

    Raises
    ------
    InvalidInputError
        It is the device of none.
    """
    found = types.of_source(run.source)
    if found is None:
        msg = f"{run.source} is no {types.devices}: the calib layout has no group for it"
        raise InvalidInputError(msg)
    return found
