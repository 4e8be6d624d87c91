"""A second detector type beside jungfrau, with small panels."""

from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "epix10ka.toml"
SMALL = (7, 6, 10)
"""(gain range, row, column) of small panels of the second type."""


def write_small_type(path: Path, **changes: str) -> Path:
    """Write the example with small panels; each change replaces what is written so."""
    # Rules are about numbers that small made-up arrays do not have.
    text = EXAMPLE.read_text(encoding="utf-8").partition("[[rule]]")[0]
    text = text.replace("panel_rows = 352", f"panel_rows = {SMALL[1]}")
    text = text.replace("panel_columns = 384", f"panel_columns = {SMALL[2]}")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path
