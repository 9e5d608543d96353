"""The engine: claims jobs, reads files in limited child processes, commits chunks."""
