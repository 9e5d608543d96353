"""Words and rules without I/O: what a job, an upload, an event and a processor are."""
