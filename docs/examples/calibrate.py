"""From `open_store` to calibrated pixels, on raw frames of which the energies are known.

    panelcal demo .demo
    python calibrate.py .demo/store [picture.png]

docs/tutorial.md explains every step.
"""

import sys

import numpy as np

import panelcal

DATASET = "exp=xcsls3716:run=631"
PHOTON_KEV = 8.05

DATA_BITS = 0x3FFF
BAD = -1
RANGE_OF_BITS = np.array([0, 1, BAD, 2])


def calibrate(raw, pedestals, gain, offset):
    """Return energies of raw pixels.

    Parameters
    ----------
    raw : ndarray of uint16, (panel, row, column)
        Bits 14 and 15 are the gain range, bits 0 to 13 the signal in ADU.
    pedestals, offset : ndarray of float32, (gain range, panel, row, column)
        Signal without light, and what is to be added to it, ADU.
    gain : ndarray of float32, (gain range, panel, row, column)
        ADU/keV; negative in ranges 1 and 2.

    Returns
    -------
    ndarray of float32, (panel, row, column)
        keV. NaN where the gain bits are 10, which no range has; 0 where the gain is 0.
    """
    gain_range = RANGE_OF_BITS[raw >> 14]
    is_bad = gain_range == BAD
    chosen = np.where(is_bad, 0, gain_range)[np.newaxis]
    base = np.take_along_axis(pedestals + offset, chosen, axis=0)[0]
    slope = np.take_along_axis(gain, chosen, axis=0)[0]
    signal = (raw & DATA_BITS) - base
    energy = np.divide(signal, slope, out=np.zeros_like(signal), where=slope != 0)
    energy[is_bad] = np.nan
    return energy


def known_energies(shape, random):
    """Return energies of a made-up frame: photons in rings around a bright spot, keV."""
    _, rows, columns = shape
    row, column = np.mgrid[:rows, :columns]
    radius = np.hypot(row - rows / 2, column - columns / 2)
    photons = 4000 * np.exp(-((radius / 12) ** 2))
    for ring, height in ((90, 150), (160, 30), (230, 4)):
        photons += height * np.exp(-(((radius - ring) / 8) ** 2))
    return random.poisson(photons, shape) * PHOTON_KEV


def simulate(energy, pedestals, gain, offset):
    """Return the raw frame that a detector with these constants makes of energies.

    A pixel goes on to the next range at 200 keV and at 6 MeV.
    """
    gain_range = np.digitize(energy, (200, 6000))
    chosen = gain_range[np.newaxis]
    base = np.take_along_axis(pedestals + offset, chosen, axis=0)[0]
    slope = np.take_along_axis(gain, chosen, axis=0)[0]
    signal = np.rint(base + energy * slope).astype(np.uint16)
    bits = np.array([0b00, 0b01, 0b11], np.uint16)[gain_range]
    return signal | (bits << 14)


def draw(energy, path):
    """Draw a panel on a logarithmic scale."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    # Half a photon is dark; bad pixels, which are NaN, stay white.
    shown = np.maximum(energy, PHOTON_KEV / 2)
    image = axes.imshow(shown, norm=LogNorm(), cmap="cividis")
    figure.colorbar(image, label="energy / keV")
    axes.set(title=f"{DATASET}, panel 0", xlabel="column", ylabel="row")
    figure.savefig(path, dpi=72)


def main(store_directory, picture=None):
    """Calibrate a made-up frame and compare with what is known of it."""
    with panelcal.open_store(store_directory) as store:
        answer = store.resolve(DATASET)
        constants = answer.arrays()
    gain, offset = constants["pixel_gain"], constants["pixel_offset"]
    print(f"{answer.detector} at {answer.asked}, token {answer.token}")
    for panel in answer.panels:
        print(f"panel {panel.index}: {panel.module}@{panel.revision}")

    # psana gives measured ones: detector.pedestals(run).
    random = np.random.default_rng(631)
    typical = np.array([2800, 14500, 13500], np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
    pedestals = random.normal(typical, 20, gain.shape).astype(np.float32)

    known = known_energies(gain.shape[1:], random)
    raw = simulate(known, pedestals, gain, offset)
    raw[:, 0, :] = 0b10 << 14

    energy = calibrate(raw, pedestals, gain, offset)

    assert np.isnan(energy[:, 0, :]).all()
    error = np.abs(energy - known)[:, 1:]
    gain_range = RANGE_OF_BITS[raw >> 14][:, 1:]
    for number in range(3):
        inside = gain_range == number
        # A raw pixel is a whole number of ADU: half of one is the largest error there can be.
        largest = 0.51 / np.min(np.abs(gain[number]))
        assert inside.any()
        assert np.max(error[inside]) < largest
        print(
            f"range {number}: {np.count_nonzero(inside)} pixels, "
            f"largest error {np.max(error[inside]):.3f} keV"
        )
    if picture:
        draw(energy[0], picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
