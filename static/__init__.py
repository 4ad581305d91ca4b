"""What a page needs to run Python: Pyodide, PyScript and wheels, assembled into static/dist/."""
