"""What `recognize.py` needs besides its lesson: work on grey levels, and the window to draw in."""
