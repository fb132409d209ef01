"""``python -m bogp`` is the command ``bogp``."""

from bogp.cli import main

if __name__ == "__main__":
    main()
