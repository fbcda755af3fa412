"""Writes the PyTorch fixtures of this folder, except tiny-prompts.pth. The reference wrote that one: it is a copy of
OUT/prompts.pth, which this command writes:

    python write_hf.py OUT --kind tiny --torch-prompts
"""
from collections import OrderedDict
from pathlib import Path

import torch

folder = Path(__file__).parent
prompts = torch.load(folder / "tiny-prompts.pth")

# Write a training checkpoint of a parallel model in half precision.
state = OrderedDict((f"module.prompt_learner.{name}", tensor.half()) for name, tensor in prompts.items())
# One tensor is saved as a transposed view, so a reader must use its strides.
name = "module.prompt_learner.prompt_txt_projections.0.weight"
state[name] = state[name].t().contiguous().t()
# One tensor belongs to the rest of the model, which a reader of prompts must ignore.
state["module.logit_scale"] = torch.tensor(4.6052)
torch.save({"epoch": 3, "best": 0.5, "state_dict": state}, folder / "tiny-nested-f16.pth")

# Write a checkpoint without prompts.
torch.save({"weight": torch.zeros(2)}, folder / "other.pth")
