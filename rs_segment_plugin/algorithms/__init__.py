"""Processing algorithms: one file per algorithm, each builds a job."""
