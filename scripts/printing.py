"""Standard output of the scripts that print results."""
import os
import sys


def exit_after(name, main):
    """Ends the program with the exit code of main(), or with one line and 1 if standard output cannot be written."""
    reason = "Bad file descriptor" if sys.stdout is None else None
    code = None
    try:
        if reason is None:
            code = main()
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        reason = error.strerror
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
    sys.exit(code if reason is None else f"{name}: standard output cannot be written: {reason}")
