"""One module per job: ``run_<job>(job, report, cancelled)``."""
