"""Run the command line as ``python -m panelcal``."""

from panelcal.programs import panelcal

if __name__ == "__main__":
    panelcal()
