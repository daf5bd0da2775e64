"""Storms: studies that run while processes are killed and a storage server fails, and what must hold afterwards.

`studies` says what is run and `run_study` runs it in a process of its own, `processes` holds all the processes of a
storm, `faulty_proxy` stands between them and the S3 server, `storm` lets faults fall by a seed, `invariant` checks
what is left, and `matrix` is the list of storms. ``python -m chaos --seed N --only NAME`` replays one of them; the
package never decides what bemsweep should do about a fault.
"""
