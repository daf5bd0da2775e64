"""A real Slurm of one node on this machine, for tests: three daemons on loopback, none started by systemd."""
