"""The job protocol as a finite machine, searched exhaustively. Start with ../README.md."""
