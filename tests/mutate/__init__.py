"""Who guards the tests: small changes of the code, each of which the pure tests must notice.

`python -m tests.mutate --count 500` changes one comparison, one bound, one `and`, one sign or one number at a time in the
code that reads what others send, and runs the pure tests that come by there, the quickest first. What no test notices
is printed with file and line: it wants a test, or a line in `equivalent.txt` that says why the change changes nothing.
"""
