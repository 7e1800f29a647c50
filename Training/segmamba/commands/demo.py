"""placeholder"""
def add_parser(c):
    return c.add_parser("demo")
def run(o):
    raise NotImplementedError
