"""Run the command line as ``python -m panelcal``."""

from panelcal.cli import main

if __name__ == "__main__":
    main()
