"""placeholder"""
def add_parser(c):
    return c.add_parser("doctor")
def run(o):
    raise NotImplementedError
