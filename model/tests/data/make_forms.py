"""Writes `forms/`: one tiny CLIP in every form that dqa reads, written by the usual libraries, and its features.

    python -m venv v && v/bin/pip install torch transformers open_clip_torch clip-anytorch
    v/bin/python make_forms.py

The weights are a formula of period 251 whose values are exact in f16. So the model is the same in f32 (Hugging Face, OpenCLIP) and
in OpenAI's mixture of f16 and f32, and each file packs to about 10 KB. The fixtures were written with torch 2.15, transformers 5.24,
open_clip_torch 3.3 and OpenAI's model.py from clip-anytorch 2.6. The script fails if the features of the libraries differ.
"""
import gzip, importlib.util, io, json, tempfile
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

OUT = Path(__file__).parent / "forms"
WIDTH, LAYERS, PATCH, EMBED, CONTEXT, VOCAB = 64, 2, 32, 32, 77, 49408
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # CLIP-DQA's, not CLIP's
# The tokens of "bad photo." and "good photo.", with start and end tokens.
SENTENCES = [[49406, 2103, 1125, 269, 49407], [49406, 886, 1125, 269, 49407]]
TABLE = np.array([(k * k * 7 + k * 13) % 251 - 125 for k in range(251)])


def hf_config(activation):
    tower = dict(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=WIDTH // 64, intermediate_size=4 * WIDTH,
                 hidden_act=activation, layer_norm_eps=1e-5)
    return CLIPConfig(projection_dim=EMBED, vision_config={**tower, "image_size": 224, "patch_size": PATCH},
                      text_config={**tower, "vocab_size": VOCAB, "max_position_embeddings": CONTEXT, "bos_token_id": 49406,
                                   "eos_token_id": 49407, "pad_token_id": 49407})


def values(name, shape):
    if name == "logit_scale":
        return torch.tensor(2.65625)
    n = int(np.prod(shape))
    table = TABLE[(np.arange(n) + sum(name.encode()) * 7) % 251]
    if name.endswith("norm.weight") or "layer_norm1.weight" in name or "layer_norm2.weight" in name or "layrnorm.weight" in name:
        numbers = 1 + table / 1024
    elif name.endswith(".bias"):
        numbers = table / 4096
    elif "token_embedding" in name or "position_embedding" in name or "class_embedding" in name:
        numbers = table / 512
    elif "patch_embedding" in name:
        numbers = table / 8192
    else:
        numbers = table / 1024
    return torch.tensor(numbers.reshape(shape), dtype=torch.float32)


def to_open_ai(state):
    """Returns Hugging Face's tensors under OpenAI's names."""
    out = {"logit_scale": state["logit_scale"], "visual.proj": state["visual_projection.weight"].t().contiguous(),
           "text_projection": state["text_projection.weight"].t().contiguous()}
    for own, name in [("visual.class_embedding", "vision_model.embeddings.class_embedding"),
                      ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
                      ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
                      ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
                      ("positional_embedding", "text_model.embeddings.position_embedding.weight")]:
        out[own] = state[name]
    for part in ["weight", "bias"]:
        for own, name in [("visual.ln_pre", "vision_model.pre_layrnorm"), ("visual.ln_post", "vision_model.post_layernorm"),
                          ("ln_final", "text_model.final_layer_norm")]:
            out[f"{own}.{part}"] = state[f"{name}.{part}"]
        for own, name in [("visual.transformer", "vision_model"), ("transformer", "text_model")]:
            for layer in range(LAYERS):
                target, source = f"{own}.resblocks.{layer}", f"{name}.encoder.layers.{layer}"
                parts = [state[f"{source}.self_attn.{p}_proj.{part}"] for p in "qkv"]
                out[f"{target}.attn.in_proj_{part}"] = torch.cat(parts)
                for a, b in [("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"),
                             ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")]:
                    out[f"{target}.{a}.{part}"] = state[f"{source}.{b}.{part}"]
    return out


def open_clip_model(quick):
    model_cfg = {"embed_dim": EMBED, "quick_gelu": quick,
                 "vision_cfg": {"image_size": 224, "layers": LAYERS, "width": WIDTH, "patch_size": PATCH},
                 "text_cfg": {"context_length": CONTEXT, "vocab_size": VOCAB, "width": WIDTH, "heads": WIDTH // 64, "layers": LAYERS}}
    model = open_clip.model.CLIP(**json.loads(json.dumps(model_cfg))).eval()
    return model, {"model_cfg": model_cfg, "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073],
                                                              "std": [0.26862954, 0.26130258, 0.27577711]}}


def open_ai_archive(state):
    """Returns a TorchScript archive like OpenAI's: matrices in f16, norms and embeddings in f32, sizes as buffers."""
    spec = importlib.util.find_spec("clip").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("clip_model", Path(spec) / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.CLIP(EMBED, 224, LAYERS, WIDTH, PATCH, CONTEXT, VOCAB, WIDTH, WIDTH // 64, LAYERS)
    module.convert_weights(model)
    model.load_state_dict(state)
    for name, value in [("input_resolution", 224), ("context_length", CONTEXT), ("vocab_size", VOCAB)]:
        if hasattr(model, name):
            delattr(model, name)
        model.register_buffer(name, torch.tensor(value))
    model.eval()
    image, text = torch.zeros(1, 3, 224, 224), torch.zeros(1, CONTEXT, dtype=torch.int64)
    text[0, :5] = torch.tensor(SENTENCES[0])
    return torch.jit.trace_module(model, {"encode_image": image, "encode_text": text}, check_trace=False)


def picture():
    x, y = np.meshgrid(np.arange(224), np.arange(224))
    pixels = np.stack([(x * 7 + y * 13 + c * 29 + x * y // 16) % 256 for c in range(3)]).astype(np.float32) / 255
    return torch.tensor((pixels - np.array(MEAN)[:, None, None]) / np.array(DEVIATION)[:, None, None], dtype=torch.float32)[None]


def features(image, text):
    return {name: torch.nn.functional.normalize(x.detach().float(), dim=-1) for name, x in [("image", image), ("text", text)]}


def pack(name, data):
    # Compressed twice, 14 MB become 10 KB instead of 80 KB, because the output of the first pass repeats itself.
    (OUT / f"{name}.gz.gz").write_bytes(gzip.compress(gzip.compress(data, 9, mtime=0), 9, mtime=0))


def saved(obj, **options):
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    return buffer.getvalue()


def main():
    torch.manual_seed(0)
    OUT.mkdir(exist_ok=True)
    state = {name: values(name, tuple(tensor.shape)) for name, tensor in CLIPModel(hf_config("gelu")).state_dict().items()
             if not name.endswith("position_ids")}
    assert all(torch.equal(tensor, tensor.half().float()) for tensor in state.values())
    own = to_open_ai(state)
    ids = torch.zeros(2, CONTEXT, dtype=torch.int64)
    ids[:, :5] = torch.tensor(SENTENCES)
    hf_ids = torch.where(ids == 0, torch.tensor(49407), ids)
    pixels, reference = picture(), {}
    with torch.no_grad():
        for activation, quick in [("quick_gelu", True), ("gelu", False)]:
            model = CLIPModel(hf_config(activation)).eval()
            model.load_state_dict(state, strict=False)
            plain = lambda out: out if torch.is_tensor(out) else out.pooler_output
            hf = features(plain(model.get_image_features(pixel_values=pixels)), plain(model.get_text_features(input_ids=hf_ids)))
            model, config = open_clip_model(quick)
            model.load_state_dict(own)
            oc = features(model.encode_image(pixels), model.encode_text(ids))
            for name in hf:
                difference = (hf[name] - oc[name]).abs().max().item()
                print(activation, name, "transformers and open_clip differ by", difference)
                assert difference < 1e-6
            reference[activation] = {name: hf[name].tolist() for name in hf}
            (OUT / f"config.{activation}.json").write_text(json.dumps(json.loads(hf_config(activation).to_json_string(use_diff=False)), indent=1))
            (OUT / f"open_clip_config.{activation}.json").write_text(json.dumps(config, indent=1))
        archive = open_ai_archive(own)
        with tempfile.TemporaryDirectory() as folder:
            torch.jit.save(archive, f"{folder}/ViT.pt")
            script = Path(f"{folder}/ViT.pt").read_bytes()
            opened = torch.jit.load(f"{folder}/ViT.pt")
            print({str(t.dtype) for t in opened.state_dict().values()}, len(opened.state_dict()))
            save_file(state, f"{folder}/hf", {"format": "pt"})
            save_file(own, f"{folder}/open_clip", {"format": "pt"})
            pack("model.safetensors", Path(f"{folder}/hf").read_bytes())
            pack("open_clip_model.safetensors", Path(f"{folder}/open_clip").read_bytes())
        half = features(opened.encode_image(pixels), opened.encode_text(ids))
        for name in half:
            print("OpenAI's f16", name, "differs by", (half[name] - torch.tensor(reference["quick_gelu"][name])).abs().max().item())
            assert torch.allclose(half[name], torch.tensor(reference["quick_gelu"][name]), atol=5e-3)
        exact = model_in_f32(opened.state_dict())
        exact = features(exact.encode_image(pixels), exact.encode_text(ids))
        for name in exact:
            difference = (exact[name] - torch.tensor(reference["quick_gelu"][name])).abs().max().item()
            print("OpenAI's", name, "differs by", difference)
            assert difference < 1e-6
    pack("ViT-tiny.pt", script)
    pack("open_ai_state.pt", saved({name: tensor.clone() for name, tensor in opened.state_dict().items()}))
    pack("pytorch_model.bin", saved(dict(state, **{"text_model.embeddings.position_ids": torch.arange(CONTEXT).expand((1, -1))})))
    pack("open_clip_pytorch_model.bin", saved(own))
    names = sorted(state)
    halves = {f"pytorch_model-{i + 1:05}-of-00002.bin": names[i * len(names) // 2:(i + 1) * len(names) // 2] for i in range(2)}
    for file, part in halves.items():
        pack(file, saved({name: state[name] for name in part}))
    index = {"metadata": {}, "weight_map": {name: file for file, part in halves.items() for name in part}}
    (OUT / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    pack("legacy.bin", saved(state, _use_new_zipfile_serialization=False))
    # This is a checkpoint as OpenCLIP's training writes it.
    pack("epoch_32.pt", saved({"epoch": 32, "name": "run", "state_dict": {f"module.{name}": own[name] for name in own},
                               "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.98)}]}}))
    (OUT / "reference.json").write_text(json.dumps(reference))
    print({path.name: path.stat().st_size for path in sorted(OUT.iterdir())})


def model_in_f32(state):
    spec = importlib.util.find_spec("clip").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("clip_model", Path(spec) / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_model({name: tensor for name, tensor in state.items()}).float()


if __name__ == "__main__":
    main()
