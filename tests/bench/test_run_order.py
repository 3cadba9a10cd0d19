"""The order of a run's steps, as a task, an objective and evaluators of a plug-in see it."""

from pathlib import Path

from tests.conftest import Bench

PLUGIN = """
import os
from pathlib import Path

from adapt.objectives.ce import CrossEntropy
from bench.plugins import evaluators, objectives, tasks
from bench.tasks import FolderTask
from eval.linear_probe import LinearProbe
from eval.zero_shot import ZeroShot

def note(what):
    with open(os.environ["SEEN"], "a") as stream:
        print(what, file=stream)

class Watched(FolderTask, frozen=True, kw_only=True):
    def open_split(self, name, home):
        note(f"open {name}")
        return super().open_split(name, home)

tasks.register("watched")(Watched.load(Path(os.environ["TASK"])))

@objectives.register("watching")
class Watching(CrossEntropy):
    hook = None

    def loss(self, encoded, batch, step):
        if self.hook is None:
            self.hook = self.model.visual.register_forward_hook(self.heed)
        return super().loss(encoded, batch, step)

    def heed(self, tower, *_):
        if not tower.training:
            note("extract")

class Noting:
    def validate(self, model):
        note("validate")
        return super().validate(model)

    def test(self, model):
        note("test")
        return super().test(model)

@evaluators.register("own-head")
class OwnHead(Noting, ZeroShot): ...

@evaluators.register("own-probe")
class OwnProbe(Noting, LinearProbe): ...
"""


def test_everything_is_chosen_before_the_test_split_is_opened_and_nothing_extracted_twice(
    bench_process: Bench, tmp_path: Path, preset: Path, colours: Path
) -> None:
    plugin, seen = tmp_path / "watching.py", tmp_path / "seen"
    plugin.write_text(PLUGIN)
    words = ["run", "--preset", str(preset), "--source", "real", "--task", "watched", "--json"]
    words += ["--plugin", str(plugin), "--objective", "watching", "--set", "train.epochs=3"]
    words += ["--set", "evaluators={own-head: {}, own-probe: {}, zero-shot: null}"]
    words += ["--set", "train.select_by=own-head"]
    done = bench_process(*words, SEEN=str(seen), TASK=str(colours))
    assert done.code == 0, done.err
    selection = done.json["selection"]
    assert 0 < selection["epoch"] < selection["last_epoch"] == 3
    steps = seen.read_text().split("\n")[:-1]
    # Features on val are kept, of the chosen epoch and of the last; only the probe needs train's.
    before = ["validate", "validate", "open train", "extract", "validate", "validate", "extract"]
    after = ["test", "open test", "extract", "test", "test", "extract", "test"]
    assert steps[-14:] == before + after
    # Once before, when every image is decoded lest one be damaged.
    assert [at for at, step in enumerate(steps) if step == "open test"][:-1] == [2]
