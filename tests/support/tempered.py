"""An objective with options, to plan with."""

from typing import Any

from bench.plugins import Config, Needs, objectives


@objectives.register("tempered")
class Tempered:
    """Stands for objectives that have options and leave the classifier's head alone."""

    class Options(Config, frozen=True, kw_only=True):
        """What `--set objective.NAME=VALUE` may change."""

        temperature: float = 0.1
        texts: bool = False

    @staticmethod
    def needs(options: Options) -> Needs:
        """Return that it trains no head, and needs texts if asked for."""
        return Needs(head=False, texts=options.texts)

    def loss(self, model: Any, images: Any, labels: Any) -> Any:
        """Nothing is trained with it."""
        raise NotImplementedError
