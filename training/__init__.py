"""What a run needs besides its mathematics: command line, saving, resuming, compiling."""
