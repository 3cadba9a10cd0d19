"""What prompts and captions call the classes of the paper's tasks."""

import pytest

from bench.core.paths import Home
from bench.plugins import writer_of
from bench.plugins.captions import CaptionOrder
from bench.tasks import find_task
from sources.captions.check import CaptionCheck
from sources.pool.matcher import with_queries
from tests.support.captions import brief_of

# Where openai/CLIP, data/prompts.md, has another name than torchvision.
OPENAI = {
    "pink-yellow dahlia?": "pink and yellow dahlia",
    "globe-flower": "globe flower",
    "ball moss": "air plant",
}


def test_flowers_are_prompted_by_openais_names_and_labelled_by_torchvisions() -> None:
    task = find_task("flowers")
    assert set(OPENAI) < set(task.class_names)
    for name in task.class_names:
        said = OPENAI.get(name, name)
        assert task.prompts(name) == [f"a photo of a {said}, a type of flower."]
        assert with_queries(task, "literal").query(name).any == (said,)


@pytest.mark.parametrize("name", ["aircraft", "cars"])
def test_other_tasks_are_prompted_by_their_class_names(name: str) -> None:
    task = find_task(name)
    assert [task.prompt_name(each) for each in task.class_names] == list(task.class_names)


@pytest.mark.parametrize("writer", ["grammar", "minimal-pairs", "names"])
def test_written_captions_have_the_prompt_name(writer: str, home: Home) -> None:
    task = find_task("flowers")
    brief = brief_of(home, task)
    orders = [CaptionOrder(f"c{number}", number, number, 0) for number in range(1000)]
    captions = writer_of(writer, {}).write(orders, brief)
    texts: dict[str, str] = {}
    for caption in captions:
        texts.setdefault(task.class_names[caption.label], caption.text)
    for name, said in OPENAI.items():
        assert said in texts[name]
    assert not any(CaptionCheck(task, brief.concepts).faults(captions))
