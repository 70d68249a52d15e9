"""How good Freshet is beside what else one could run: the same events, an event at a time."""
