"""Asks for a name that nothing has: for tools/lint."""
print(nothing)
