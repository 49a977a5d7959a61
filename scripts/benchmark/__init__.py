"""The benchmark: how fast Keyrack is, beside bare floors, other settings and an earlier build, measured in one run.

A part (routes.py, logins.py, memory.py, sizes.py, gateway.py, crowd.py) measures one thing and returns a Section of
docs/performance.md. machinery.py has the servers, seeds.py the sessions in them, load.py the load on them.
"""
