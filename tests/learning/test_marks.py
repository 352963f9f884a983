"""Lettering and collimation drawn on training films."""

import torch

from cxr.learning.batches import generator
from cxr.learning.marks import BORDER, collimate, letter

GREY = torch.full((16, 1, 100, 120), 0.25)


def test_without_a_chance_nothing_is_drawn_and_nothing_is_taken_from_the_generator() -> None:
    random = generator(0)
    assert collimate(GREY, 0.0, random) is GREY
    assert letter(GREY, 0.0, random) is GREY
    assert torch.equal(torch.rand(3, generator=random), torch.rand(3, generator=generator(0)))


def test_a_collimated_film_is_dark_at_its_borders_alone() -> None:
    films = collimate(GREY, 1.0, generator(0))
    middle = films[..., 15:85, 18:102]  # beyond BORDER of 100 and 120 pixels
    assert BORDER == 0.15 and (middle == 0.25).all()
    dark = (films == 0).float().mean((1, 2, 3))
    assert (dark > 0).all() and (dark <= 1 - 0.7 * 0.7).all()
    assert len(dark.unique()) == len(dark)  # each film its own


def test_letters_are_brighter_than_the_film_and_leave_its_middle_free_of_their_beginnings() -> None:
    films = letter(GREY, 1.0, generator(1))
    assert films.min() == 0.25 and films.max() <= 1
    written = (films > 0.25).float().mean((1, 2, 3))
    assert (written > 0).float().mean() > 0.9  # a text may lie beyond the film's edge
    assert written.max() < 0.1


def test_half_the_films_are_lettered_by_half_a_chance() -> None:
    many = GREY[:1].expand(200, -1, -1, -1)
    lettered = (letter(many, 0.5, generator(2)) > 0.25).any(-1).any(-1).float().mean()
    assert 0.4 < lettered < 0.6


def test_the_same_generator_draws_the_same_marks() -> None:
    assert torch.equal(letter(GREY, 0.7, generator(3)), letter(GREY, 0.7, generator(3)))
