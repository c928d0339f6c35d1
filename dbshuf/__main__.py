"""`python -m dbshuf` is `dbshuf`."""

from dbshuf.cli import main

if __name__ == "__main__":
    main()
