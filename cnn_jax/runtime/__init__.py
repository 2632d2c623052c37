"""What every program needs of the machine and of Python: files, errors, processes, random keys."""
