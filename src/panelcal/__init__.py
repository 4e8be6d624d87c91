"""Versioned calibration constants for multi-panel, multi-gain X-ray detectors."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from panelcal.api import ResolvedConstants, Store, open_store

__all__ = ["ResolvedConstants", "Store", "__version__", "open_store"]


def __getattr__(name: str) -> object:
    # Loaded on first use: `panelcal --help` must not pay for SQLAlchemy.
    if name in {"ResolvedConstants", "Store", "open_store"}:
        from panelcal import api

        return getattr(api, name)
    msg = f"module 'panelcal' has no attribute {name!r}"
    raise AttributeError(msg)
