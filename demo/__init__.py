"""A small school: one lesson in PyScript, its server, and a stand-in for the Timeback platform."""
