"""Random configurations of encoders and encoder-decoders, for scripts/parity-architectures."""
import transformers as t

import make_encoder_decoders
import make_encoders
import make_xlnet

ACTIVATIONS = ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"]
LABELS = {"id2label": {0: "calm", 1: "odd", 2: "loud"}, "label2id": {"calm": 0, "odd": 1, "loud": 2}}


def size_of(pick):
    heads = pick.choice([1, 2, 3, 5, 7])
    return dict(vocab_size=pick.randint(40, 70), hidden_size=heads * pick.randint(2, 6), num_hidden_layers=pick.randint(1, 4),
                num_attention_heads=heads, intermediate_size=pick.randint(9, 50), max_position_embeddings=pick.randint(16, 40),
                type_vocab_size=pick.randint(1, 3), hidden_act=pick.choice(ACTIVATIONS), layer_norm_eps=pick.choice([1e-12, 1e-5, 1e-2]))


def bert(pick):
    kind = pick.choice([t.BertForMaskedLM, t.BertForPreTraining, t.BertForSequenceClassification, t.BertForTokenClassification])
    labels = LABELS if kind.__name__.endswith("Classification") else {}
    return kind, t.BertConfig(**size_of(pick), **labels, tie_word_embeddings=pick.random() < 0.5)


def roberta(pick):
    kind = pick.choice([t.RobertaForMaskedLM, t.RobertaForSequenceClassification, t.RobertaForTokenClassification])
    labels = LABELS if kind.__name__.endswith("Classification") else {}
    return kind, t.RobertaConfig(**size_of(pick), **labels, pad_token_id=pick.randint(0, 3), tie_word_embeddings=pick.random() < 0.5)


def distilbert(pick):
    size, kind = size_of(pick), pick.choice([t.DistilBertForMaskedLM, t.DistilBertForSequenceClassification])
    heads = size["num_attention_heads"]
    return kind, t.DistilBertConfig(vocab_size=size["vocab_size"], dim=heads * 2 * pick.randint(1, 3), n_layers=size["num_hidden_layers"], n_heads=heads,
                                    hidden_dim=size["intermediate_size"], max_position_embeddings=size["max_position_embeddings"],
                                    sinusoidal_pos_embds=pick.random() < 0.3, activation=pick.choice(["gelu", "relu"]),
                                    tie_word_embeddings=pick.random() < 0.5)


def albert(pick):
    size, kind = size_of(pick), pick.choice([t.AlbertForMaskedLM, t.AlbertForPreTraining])
    size["num_hidden_groups"] = pick.randint(1, size["num_hidden_layers"])
    return kind, t.AlbertConfig(**size, embedding_size=pick.randint(6, 20), inner_group_num=pick.randint(1, 2))


def electra(pick):
    kind = pick.choice([t.ElectraForMaskedLM, t.ElectraForPreTraining])
    size = size_of(pick)
    return kind, t.ElectraConfig(**size, embedding_size=pick.choice([size["hidden_size"], 18]), tie_word_embeddings=pick.random() < 0.5)


def xlnet(pick):
    heads = pick.choice([1, 2, 3, 5])
    uni = pick.random() < 0.3
    config = t.XLNetConfig(vocab_size=pick.randint(40, 70), d_model=heads * 2 * pick.randint(1, 4), n_layer=pick.randint(1, 3), n_head=heads,
                           d_inner=pick.randint(9, 40), ff_activation=pick.choice(["gelu", "relu"]), attn_type="uni" if uni else "bi",
                           clamp_len=pick.choice([-1, 3, 7]), mem_len=None, tie_word_embeddings=pick.random() < 0.5)
    wanted = [name for name in ("token_types", "targets") if pick.random() < 0.5]
    return t.XLNetLMHeadModel, config, wanted + (["allowed"] if not uni and pick.random() < 0.5 else [])


def bart_size(pick):
    size = lambda: (pick.choice([1, 2, 3, 6]), pick.randint(9, 40), pick.randint(1, 3))
    (heads, up, layers), (decoder_heads, decoder_up, decoder_layers) = size(), size()
    vocabulary = pick.randint(40, 70)
    return dict(vocab_size=vocabulary, d_model=6 * pick.randint(2, 5), encoder_layers=layers, decoder_layers=decoder_layers,
                encoder_attention_heads=heads, decoder_attention_heads=decoder_heads, encoder_ffn_dim=up, decoder_ffn_dim=decoder_up,
                max_position_embeddings=24, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
                scale_embedding=pick.random() < 0.5, activation_function=pick.choice(ACTIVATIONS), tie_word_embeddings=pick.random() < 0.6)


def t5(pick):
    kind, config = pick.choice([(t.T5ForConditionalGeneration, t.T5Config), (t.MT5ForConditionalGeneration, t.MT5Config)])
    return kind, config(
        vocab_size=pick.randint(40, 70), d_model=pick.randint(5, 30), d_kv=pick.randint(2, 9), d_ff=pick.randint(9, 40), num_layers=pick.randint(1, 3),
        num_decoder_layers=pick.choice([None, 1, 3]), num_heads=pick.choice([1, 2, 3, 5]), pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
        relative_attention_num_buckets=2 * pick.randint(3, 16), relative_attention_max_distance=pick.choice([18, 40, 128]),
        feed_forward_proj=pick.choice(["relu", "gated-gelu", "gated-silu", "gelu_new"]), tie_word_embeddings=pick.random() < 0.6)


ENCODERS = {"Bert": bert, "Roberta": roberta, "DistilBert": distilbert, "Albert": albert, "Electra": electra}
LAYERS = {"Bert": make_encoders.bert_layers, "Roberta": make_encoders.bert_layers, "DistilBert": make_encoders.distilbert_layers,
          "Albert": make_encoders.albert_layers, "Electra": make_encoders.bert_layers}
ENCODER_DECODERS = {"T5": t5, "Bart": lambda pick: (t.BartForConditionalGeneration, t.BartConfig(**bart_size(pick))),
                    "MBart": lambda pick: (t.MBartForConditionalGeneration, t.MBartConfig(**bart_size(pick))),
                    "Marian": lambda pick: (t.MarianMTModel, t.MarianConfig(**bart_size(pick), forced_eos_token_id=None)),
                    "M2M100": lambda pick: (t.M2M100ForConditionalGeneration, t.M2M100Config(**bart_size(pick)))}
FAMILIES = [*ENCODERS, "XLNet", *ENCODER_DECODERS]


def make(family, pick, seed, folder):
    """One model of the family into folder/<group>/<family>_<seed>."""
    name = f"{family}_{seed}"
    if family == "XLNet":
        return make_xlnet.make(folder / "encoders" / name, seed, *xlnet(pick))
    if family in ENCODERS:
        kind, config = ENCODERS[family](pick)
        layers = None if "Classification" in kind.__name__ else LAYERS[family]
        return make_encoders.make(folder / "encoders" / name, seed, kind, config, layers)
    return make_encoder_decoders.make(folder / "encoder_decoders" / name, seed, *ENCODER_DECODERS[family](pick))
