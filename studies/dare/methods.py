"""Every method of DARE's study: variants, baselines, controls."""

from collections.abc import Iterator

from adv import attacks
from dare import controls, dare


def methods() -> Iterator[tuple[str, list, str, str]]:
    """Yield (name, input stages, role, title) of the original and every method, in the tables' order."""
    yield "original", [], "original", "original"
    for name, variant in dare.VARIANTS.items():
        yield name, [f"finetune_dare-{name}"], "method", variant.title
    for name in attacks.ATTACKS:
        yield f"adv-{name}", [f"finetune_adv-{name}"], "baseline", f"fine-tuned on {name} adversarials"
    yield "distillation", ["finetune_adv-distillation"], "baseline", "defensive distillation"
    for name, title in controls.TITLES.items():
        yield name, [f"finetune_dare-{name}"], "control", title
