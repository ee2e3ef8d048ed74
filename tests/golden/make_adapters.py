#!/usr/bin/env python3
"""Makes random LoRA adapters of the tiny models with PEFT, and what PEFT computes with them, for tests/core/shortcuts/adapter_test.cpp.

Needs torch, transformers >= 5, peft and safetensors; the tests need only the committed outputs:
    tests/golden/adapters/<name>/adapter_config.json, adapter_model.safetensors   as save_pretrained writes them
    tests/golden/adapters/<name>/expected.safetensors                             ids [positions], logits [positions, vocabulary]
"""
import pathlib

import peft
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
CASES = {
    "llama": ("llama", dict(r=4, lora_alpha=6, target_modules="all-linear", rank_pattern={"q_proj": 2, r"layers\.1\.mlp\.up_proj": 5}, alpha_pattern={"down_proj": 3})),
    "llama_stabilized": ("llama", dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], use_rslora=True)),
    "llama_dora": ("llama", dict(r=3, lora_alpha=5, target_modules=["k_proj", "o_proj", "gate_proj"], use_dora=True)),
    "gpt2": ("gpt2", dict(r=4, lora_alpha=8, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)),
    "gpt_neox": ("decoders/gpt_neox", dict(r=2, lora_alpha=8, target_modules=["query_key_value", "dense"])),
    "phi3": ("decoders/phi3", dict(r=3, lora_alpha=4, target_modules=["qkv_proj", "gate_up_proj"])),
    "head": ("llama", dict(r=2, lora_alpha=4, target_modules=["lm_head"])),
}


def main():
    for seed, (name, (folder, options)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        base = transformers.AutoModelForCausalLM.from_pretrained(HERE / folder / "model", dtype=torch.float32, attn_implementation="eager")
        model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **options)).eval()
        for key, parameter in model.named_parameters():
            if "lora_A" in key or "lora_B" in key:
                torch.nn.init.normal_(parameter, std=0.3)
            if "magnitude" in key:
                parameter.data *= 1.0 + 0.2 * torch.rand_like(parameter)
        target = HERE / "adapters" / name
        model.peft_config["default"].base_model_name_or_path = f"tests/golden/{folder}/model"
        model.save_pretrained(target, save_embedding_layers=False)
        (target / "README.md").unlink(missing_ok=True)
        ids = torch.randint(3, base.config.vocab_size, (17,))
        with torch.no_grad():
            logits = model(ids[None]).logits[0]
        save_file({"ids": ids.to(torch.int32), "logits": logits.contiguous()}, target / "expected.safetensors")


if __name__ == "__main__":
    main()
