"""`prepare` at scale: lists on disk, work in parallel, a journal for restarts, and shards of job arrays."""
