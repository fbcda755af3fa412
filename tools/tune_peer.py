"""Times training steps in PyTorch, for bench-tune: python tune_peer.py REFERENCE_DIR KIND BATCH STEPS prompts|all

It trains as the authors do: Adam on prompts and their linear layers with CLIP frozen, or on all weights (`all`). Prints one JSON line.
"""
import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import torch

import clip_dqa_ref as ref
from make_goldens import TINY, TINY_PROMPTS


def main(kind, batch, steps, tunes):
    tiny = kind == "tiny"
    w = ref.formula_weights("golden", ref.clip_spec(**TINY) if tiny else ref.clip_spec())
    p = ref.formula_weights("golden", ref.prompt_spec(**TINY_PROMPTS) if tiny else ref.prompt_spec())
    p = {k: v.requires_grad_(True) for k, v in p.items()}
    learned = list(p.values())
    if tunes == "all":
        w = {k: v.requires_grad_(True) for k, v in w.items()}
        learned += list(w.values())
    heads = (2, 1) if tiny else (12, 8)
    model = ref.ClipDqa(w, p, depth=3 if tiny else 12, heads_v=heads[0], heads_t=heads[1])
    optimizer = torch.optim.Adam(learned, lr=1e-4)
    local, whole = torch.randn(2, batch, 3, 224, 224)

    def step():
        optimizer.zero_grad()
        ((model.crop_scores(local, whole) - 0.5) ** 2).mean().backward()
        optimizer.step()

    step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    rate = batch * steps / (time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"windows_per_s": rate, "peak_mb": peak}))


main(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
