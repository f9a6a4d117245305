"""Run the command line with `python -m tickerplant`."""

from tickerplant.cli import main

if __name__ == "__main__":
    main()
