"""Typical wrong tries of exercise 2, as changes of the kept solution."""

from book.answers import Try

LOOP = "each.gradient += node.gradient * slope"
TRIES = [
    Try(
        "the gradient is set, not added", {LOOP: "each.gradient = node.gradient * slope"}, "the two parts must be added"
    ),
    Try("the slope is left out", {LOOP: "each.gradient += node.gradient"}, "pass on gradient times slope"),
    Try("only the last slope is passed on", {LOOP: "each.gradient += slope"}, "instead of 35"),
    Try("a slope without its comma", {"(1 - y * y,)": "(1 - y * y)"}, "a tuple of one needs a comma"),
    Try("an input without its comma", {"(y, (x,), ": "(y, x, "}, "a tuple of one needs a comma"),
    Try(
        "looks for the youngest node again and again",
        {
            "    for node in reversed(nodes):\n": "    while nodes:\n"
            "        node = max(nodes, key=lambda node: node.birth)\n        nodes.remove(node)\n"
        },
        "so sort once, before the visits",
    ),
    Try(
        "looks for a node in a list of those found",
        {
            "    found = {}\n": "    found = []\n",
            "if id(node) not in found": "if node not in found",
            "found[id(node)] = node": "found.append(node)",
            "list(found.values())": "found",
        },
        "in a dictionary or a set",
    ),
    Try("the root's gradient stays 0", {"    root.gradient = 1.0\n": ""}, "with respect to itself is 1"),
    Try(
        "nodes in the order in which they are found",
        {"in reversed(nodes)": "in reachable(root)"},
        "u was visited before its gradient was complete",
    ),
    Try("from old to young", {"in reversed(nodes)": "in nodes"}, "dy/dx at 2 is 16, not 0"),
    Try("gradients are not set to 0", {"        node.gradient = 0.0\n": "        pass\n"}, "set every gradient to 0"),
    Try("tanh's slope without the square", {"1 - y * y": "1 - y"}, "The slope of tanh at 0.5 is 1 − tanh²(0.5)"),
    Try("tanh's slope from the input", {"1 - y * y": "1 - x.number**2"}, "The slope of tanh at 0.5 is 1 − tanh²(0.5)"),
    Try("tanh returns a float", {"return Value(y, (x,), (1 - y * y,))": "return y"}, "must return a Value"),
    Try("tanh forgets its input", {"(y, (x,), (1": "(y, (), (1"}, "must have x as its only input"),
    Try(
        "backward follows every path, in a loop",
        {
            "    for node in reversed(nodes):\n": "    paths = [(root, 1.0)]\n    root.gradient = 0.0\n    while paths:\n"
            "        node, gradient = paths.pop()\n        node.gradient += gradient\n",
            f"            {LOOP}": "            paths.append((each, gradient * slope))",
        },
        "backward follows every path",
    ),
    Try(
        "reachable by recursion",
        {
            "    to_visit = [root]\n    while to_visit:\n        node = to_visit.pop()\n": "\n    def visit(node):\n",
            "            to_visit.extend(node.inputs)\n": "            for each in node.inputs:\n"
            "                visit(each)\n\n    visit(root)\n",
        },
        "RecursionError: replace the recursion by a loop",
    ),
    Try(
        "reachable by recursion, with a higher limit",
        {
            "    to_visit = [root]\n    while to_visit:\n        node = to_visit.pop()\n": "    import sys\n\n"
            "    sys.setrecursionlimit(10**6)\n\n    def visit(node):\n",
            "            to_visit.extend(node.inputs)\n": "            for each in node.inputs:\n"
            "                visit(each)\n\n    visit(root)\n",
        },
        "ends Python itself",
    ),
    Try("predicts a product for each node", {"BACKWARD = 40": "BACKWARD = 21"}, "one for each edge"),
    Try("predicts a product for each call", {"2**21 - 2": "2**21 - 1"}, "but the first"),
    Try("runs before predicting", {"BACKWARD = 40": "BACKWARD = None"}, "Predict before you run: PRODUCTS_OF_BACKWARD"),
]
