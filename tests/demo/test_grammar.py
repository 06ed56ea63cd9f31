import random

import grammar


def draw(function, count=300, seed=3):
    rng = random.Random(seed)
    return [function(rng) for _ in range(count)]


def test_the_same_seed_gives_the_same_sentences():
    assert draw(grammar.training_sentence) == draw(grammar.training_sentence)
    assert draw(grammar.held_out_sentence) == draw(grammar.held_out_sentence)


def test_every_sentence_is_in_the_vocabulary_and_of_the_asked_length():
    for sentence in draw(grammar.grammar_sentence) + draw(grammar.random_words):
        words = sentence.split()
        assert set(words) <= set(grammar.VOCABULARY)
        assert 1 <= len(words) <= grammar.MAX_WORDS


def test_lengths_can_be_asked_for():
    rng = random.Random(0)
    for low, high in ((1, 2), (5, 8), (18, 32)):
        assert all(low <= len(grammar.training_sentence(rng, low, high).split()) <= high for _ in range(50))


def test_the_vocabulary_is_what_the_grammar_says_and_sorted():
    ruled = {word for rule in grammar.RULES.values() for text in rule for word in text.split()} - set(grammar.RULES)
    assert set(grammar.VOCABULARY) == ruled | set(grammar.QUILTER.split()) | set(grammar.CONNECTIVES) | {"an"}
    assert list(grammar.VOCABULARY) == sorted(set(grammar.VOCABULARY))
    assert 300 <= len(grammar.VOCABULARY) <= 400


def test_training_never_draws_a_held_out_sentence_and_evaluation_draws_nothing_else():
    assert not any(map(grammar.is_held_out, draw(grammar.training_sentence, 2000)))
    assert all(map(grammar.is_held_out, draw(grammar.held_out_sentence)))


def test_the_share_held_out_is_as_stated():
    sentences = {sentence for sentence in draw(grammar.grammar_sentence, 5000) if " " in sentence}
    share = sum(map(grammar.is_held_out, sentences)) / len(sentences)
    assert abs(share - 1 / grammar.HELD_OUT_ONE_IN) < 0.02


def test_quilter_is_held_out():
    assert grammar.is_held_out(grammar.QUILTER)


def test_articles_agree():
    for sentence in draw(grammar.grammar_sentence, 2000):
        assert " a apple" not in f" {sentence}"
        assert " an book" not in f" {sentence}"
