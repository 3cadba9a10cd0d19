"""temp"""


def show_plan(specs, home, *, as_json):
    for spec in specs:
        print(spec.run_id)
