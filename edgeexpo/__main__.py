"""The command line as ``python -m edgeexpo``."""

import runpy

runpy.run_module("edgeexpo.cli", run_name="__main__", alter_sys=True)
