"""Tiny models whose probabilities a base in another precision changes: an untrained one is indifferent."""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from amir_verl.demo.model import build_model, build_tokenizer, save_model
from amir_verl.platform.four_bit_weights import load_four_bit

IDS = torch.arange(3, 60)[None]
LOUDER = 8  # times the weights of a fresh model


def write_loud_model(architecture, folder):
    """A float32 folder with weights far enough apart that quantization moves what the model says."""
    tokenizer = build_tokenizer()
    model = build_model(architecture, tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(LOUDER)
    save_model(model, tokenizer, folder)
    return folder


def write_four_bit_model(plain, folder, *, storage="uint8"):
    """The same weights in four bits, as folders named ...-bnb-4bit have them."""
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_quant_storage=getattr(torch, storage),
    )
    model = AutoModelForCausalLM.from_pretrained(
        plain, dtype=torch.float32, quantization_config=settings, device_map={"": "cpu"}
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(plain).save_pretrained(folder)
    return folder


def four_bit(folder):
    return load_four_bit(AutoModelForCausalLM, folder, dtype=torch.float32, device="cpu").eval()


def probabilities(model):
    with torch.no_grad():
        return model(IDS).logits.softmax(-1)
