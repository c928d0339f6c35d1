"""`dbshuf plan`."""

import json

from dbshuf.cli.options import PlanArguments
from dbshuf.cli.streams import need_stdout, write_stdout
from dbshuf.cli.to_options import options_of


def plan(given: PlanArguments) -> None:
    """Print what shuffle would do; write nothing."""
    options = options_of(given)
    need_stdout()
    from dbshuf.plan.make_plan import plan_of

    made = plan_of(options)
    write_stdout(json.dumps(made.to_json(), indent=2) if given.as_json else made.describe())
