"""`freshet demo`: an embedded broker, a worker and a simulated shop in a closed loop."""

from streams.demo.run import run_demo

__all__ = ["run_demo"]
