"""Say what to do next."""

print("""
The package is in {{ cookiecutter.__distribution }}. Its README says how to go on; to see it work, with random weights:

  cd {{ cookiecutter.__distribution }}
  python make_weights.py
  pip install --editable '.[test]'
  pytest
""")
