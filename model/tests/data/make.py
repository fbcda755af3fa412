"""Writes the PyTorch fixtures beside this file, but for tiny-prompts.pth, which is the reference's:

    python write_hf.py OUT --kind tiny --torch-prompts    wrote OUT/prompts.pth, copied here as tiny-prompts.pth
"""
from collections import OrderedDict
from pathlib import Path

import torch

here = Path(__file__).parent
prompts = torch.load(here / "tiny-prompts.pth")

# A training checkpoint around a parallel model, in half precision.
state = OrderedDict((f"module.prompt_learner.{name}", tensor.half()) for name, tensor in prompts.items())
# Saved transposed, as a view: a reader must honour strides.
name = "module.prompt_learner.prompt_txt_projections.0.weight"
state[name] = state[name].t().contiguous().t()
# A tensor of the rest of the model, which is not ours to read.
state["module.logit_scale"] = torch.tensor(4.6052)
torch.save({"epoch": 3, "best": 0.5, "state_dict": state}, here / "tiny-nested-f16.pth")

# A checkpoint of something else.
torch.save({"weight": torch.zeros(2)}, here / "other.pth")
